"""Training jobs and the datasets that they learn from."""
