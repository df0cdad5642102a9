"""Values that have a grammar of their own inside a parameter."""
