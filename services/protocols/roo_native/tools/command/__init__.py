"""Tools that run commands, and read what those printed."""
