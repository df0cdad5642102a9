"""Models that the registry holds, and their imports."""
