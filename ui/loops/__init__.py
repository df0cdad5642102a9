"""Improvement loops and their reports."""
