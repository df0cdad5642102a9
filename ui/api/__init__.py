"""The REST API under `/api/v1`; the nouns are those of the wire contracts."""
