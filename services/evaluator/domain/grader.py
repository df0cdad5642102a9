"""The grader: a model whose opinion is a score beside the rules' verdict."""

from dataclasses import dataclass
from typing import ClassVar

SCORE = "model_graded"
UNTRUSTED_SCORE = "model_graded_untrusted"


@dataclass(frozen=True)
class ModelGrader:
    """Which model grades answers, and by what.

    Attributes:
        base_url: such as `http://127.0.0.1:8080/v1`; empty for a model of the registry.
        model: its name at the endpoint, or a version that the registry lists.
        api_key_secret: name of the test runner's secret that holds the key; empty for none.
        rubric: what a good answer is, in plain words.
        sample_rate: share of answers that are graded; 0 means all.
        against_reference: sets each answer beside the case's reference, twice with the places swapped.
    """

    MESSAGE: ClassVar = "drillyard.evaluator.v1.evaluation_pb2.ModelGrader"

    base_url: str
    model: str
    api_key_secret: str = ""
    rubric: str = ""
    sample_rate: float = 0.0
    against_reference: bool = False


class GradeMissing(Exception):
    """The grader gave no score that can be used; the text says why, in one sentence without any answer's words."""
