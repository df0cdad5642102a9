"""OpenAI's routes at the gateway, so that other programs can ask the registry's models under `/v1`."""
