"""Feedback: improvement loops, and the datasets they build from what a model fails at."""
