"""The nouns of this service and their rules, one file per noun."""
