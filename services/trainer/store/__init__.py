"""Where attempts, checkpoints and curves are kept."""
