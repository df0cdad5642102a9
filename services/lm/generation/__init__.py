"""Answering many prompts that share a prefix, which is computed and held once."""
