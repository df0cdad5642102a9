"""The tokens, the tokenizer and the chat templates that a GGUF file brings."""
