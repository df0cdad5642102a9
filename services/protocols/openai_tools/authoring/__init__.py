"""Makes cases over a small set of invented tools."""
