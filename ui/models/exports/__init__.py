"""Exports and publications: how versions leave the registry."""
