"""Where evaluations and verdicts are kept."""
