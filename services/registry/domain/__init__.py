"""The registry's nouns and their rules."""
