"""Domain terms from and to the wire."""
