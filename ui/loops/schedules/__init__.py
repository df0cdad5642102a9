"""Schedules: a suite that is run again and again on what is served."""
