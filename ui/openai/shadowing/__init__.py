"""Shadows: versions that answer beside those that clients hear, unseen."""
