"""What feedback needs from outside."""
