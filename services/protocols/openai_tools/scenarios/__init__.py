"""Scenarios: situations, requests and right answers over invented functions."""
