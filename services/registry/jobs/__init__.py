"""What the registry's jobs do."""
