"""Versions that are served, and the aliases by which clients find them."""
