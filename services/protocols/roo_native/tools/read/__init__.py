"""Tools that look at the workspace."""
