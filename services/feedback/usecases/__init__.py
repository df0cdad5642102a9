"""What callers may ask of feedback, in the service's own words, one file per noun."""
