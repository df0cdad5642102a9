"""Evaluations: one judging of one test run."""

from dataclasses import dataclass
from enum import StrEnum

from services.evaluator.domain.grader import ModelGrader
from services.evaluator.domain.metrics import Metrics
from services.evaluator.domain.run import Subject
from services.evaluator.domain.tallies import Totals

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
