"""The template doctor: whether a model can carry a protocol."""
