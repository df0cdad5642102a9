"""Registries that speak the OCI distribution protocol, which Ollama's is a dialect of."""
