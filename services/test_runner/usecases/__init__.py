"""What callers may do with test runs, transcripts and single generations."""
