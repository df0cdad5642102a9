"""Tools of the client that run something."""
