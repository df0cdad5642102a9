"""Workspaces: to whom belongs what is made, and how much of it there may be."""
