"""What a training job does, in units that can be resumed."""
