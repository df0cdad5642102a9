"""Models as Ollama keeps and exchanges them: names, manifests, store folders, registries and daemons."""
