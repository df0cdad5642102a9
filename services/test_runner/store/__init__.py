"""Where runs and transcripts are kept."""
