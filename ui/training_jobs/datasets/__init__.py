"""Datasets: REST routes, commands and the page."""
