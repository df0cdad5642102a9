"""Fine-tunes model versions on Ray: durable training jobs, attempts, checkpoints and curves."""
