"""Function calls by any JSON schemas, as in OpenAI chat completions."""
