"""The template doctor: whether a model's chat template and tokens can carry a protocol, found out before training."""
