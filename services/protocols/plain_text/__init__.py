"""Plain text: a question, an answer in words, and scorers that compare it with right ones."""
