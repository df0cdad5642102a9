"""Tools of the client that change files."""
