"""The client's own side: what each tool does with a call, and what the model hears of it."""
