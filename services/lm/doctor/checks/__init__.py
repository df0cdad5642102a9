"""What is looked at, one file per subject; a check yields what it finds."""
