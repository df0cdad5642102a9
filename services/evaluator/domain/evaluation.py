"""Evaluations: one judging of one test run, the model that grades in it, and what it is exported as."""

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from services.evaluator.domain.metrics import Metrics
from services.evaluator.domain.run import Subject
from services.evaluator.domain.tallies import Totals

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


KIND = "evaluation"


class EvaluationPhase(StrEnum):
    """What an evaluation does now."""

    JUDGE = "judge"
    GRADE = "grade"


@dataclass(frozen=True)
class EvaluationRecord:
    """What this service keeps of an evaluation besides its job.

    Attributes:
        evaluation_id: Same as the job's id.
        subject: The run.
        judge_digest: Digest of the profile that judges, in this service's release.
        num_verdicts: Verdicts that are stored; also the run's sequence up to which it is judged.
        ordinal: Order of creation.
        grader: The grader, if there is one.
        num_graded: The run's sequence up to which the grader was asked.
        totals: Sums over the verdicts; None when an earlier release made some of them.
        metrics: The final metrics; None while there may be further verdicts.
    """

    evaluation_id: str
    subject: Subject
    judge_digest: str
    num_verdicts: int = 0
    ordinal: int = 0
    grader: ModelGrader | None = None
    num_graded: int = 0
    totals: Totals | None = None
    metrics: Metrics | None = None


class ExportFormat(StrEnum):
    """The form of an export."""

    JSON = "json"
    CSV = "csv"
    INSPECT = "inspect"
    HTML = "html"
    PAIRS = "pairs"


@dataclass(frozen=True)
class ExportFact:
    """One further line of a page's provenance."""

    group: str
    name: str
    value: str
