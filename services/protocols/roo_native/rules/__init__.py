"""What a call must fulfil, one rule set a file."""
