"""Training data from what failed: how much of what, and the rows themselves."""
