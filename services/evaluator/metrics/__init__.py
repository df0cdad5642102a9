"""Metrics: from counts of verdicts to rates with intervals, and to sentences that a person can act on."""
