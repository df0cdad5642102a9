"""The weights that a job trains: how they begin, and how a checkpoint and a result hold them."""

from services.trainer.training.weights.trained_model import TrainedModel, load_trained

__all__ = ["TrainedModel", "load_trained"]
