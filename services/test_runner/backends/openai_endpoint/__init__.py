"""Generation by served models: any server that speaks OpenAI's chat completions."""
