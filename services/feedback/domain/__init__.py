"""The nouns of the service and their rules, free of wires and storage."""
