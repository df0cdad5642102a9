"""Evaluations: verdicts, metrics and exports of a test run."""
