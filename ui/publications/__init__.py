"""Publications: where versions are brought to."""
