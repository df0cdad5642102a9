"""Exports: forms of a version in which it is served elsewhere."""
