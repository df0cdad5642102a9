"""Tools of the client that look at the workspace."""
