"""Ask a model one thing, see exactly what it reads, and what the client makes of its answer."""
