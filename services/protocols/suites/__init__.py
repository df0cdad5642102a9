"""Suites: cases as immutable data, read with their line numbers, and checked for overlap with training data."""
