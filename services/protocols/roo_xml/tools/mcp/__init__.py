"""Tools of the client that reach connected servers."""
