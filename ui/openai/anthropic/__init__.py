"""Anthropic's messages API, for clients that speak nothing else."""
