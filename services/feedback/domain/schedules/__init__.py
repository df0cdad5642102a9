"""Schedules: what is watched, when it is due, and what was made of each due time."""
