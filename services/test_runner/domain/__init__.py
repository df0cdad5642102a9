"""Test runs, transcripts and single generations: the nouns of this service and their rules."""
