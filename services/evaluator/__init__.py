"""The evaluator service: judges the transcripts of test runs, and compares evaluations."""
