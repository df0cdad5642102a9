"""Tools of connected servers."""
