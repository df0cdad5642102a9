"""Test runs and their transcripts."""
