"""The test-runner service: runs a suite on a model, reproducibly, and keeps the transcripts."""
