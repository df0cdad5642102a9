"""Training jobs, attempts, checkpoints and curves: the nouns of this service and their rules."""
