"""Parity: how far two forms of one model agree."""

from dataclasses import dataclass
from enum import StrEnum

from services.evaluator.domain.metrics import Interval


class GuiltyStep(StrEnum):
    """The step between two forms of a model that made them differ."""

    NONE = "none"
    TEMPLATE = "template"
    TOKENS = "tokens"
    SAMPLING = "sampling"
    PRECISION = "precision"
    WEIGHTS = "weights"


@dataclass(frozen=True)
class AnswerDifference:
    """The first thing in which two transcripts of one case differ; `token_index` is -1 when none is known."""

    case_id: str
    repeat: int
    field: str
    turn: int = 0
    token_index: int = -1
    before: str = ""
    after: str = ""


@dataclass(frozen=True)
class RunDifference:
    """What the test runner says of two runs, answer by answer; `num_unanswered` pairs lack one and are not compared."""

    num_compared: int
    num_equal_answers: int
    differences: tuple[AnswerDifference, ...]
    provenance_differences: tuple[str, ...] = ()
    num_unanswered: int = 0


@dataclass(frozen=True)
class Outcome:
    """What parity looks at in one verdict."""

    conforming: bool
    accepted: bool
    well_formed: bool
    cause: str
    layer: str


@dataclass(frozen=True)
class OutcomePair:
    """The verdicts of both forms on one repeat of one case, and the tokens of its prompt where one was answered."""

    case_id: str
    repeat: int
    before: Outcome
    after: Outcome
    prompt_tokens: tuple[int, int] | None = None


@dataclass(frozen=True)
class ParityDifference:
    """One transcript that is not the same in both forms, with the causes of both verdicts."""

    answer: AnswerDifference
    cause_before: str
    cause_after: str


@dataclass(frozen=True)
class Parity:
    """How far two forms of one model agree, and which step between them is to blame."""

    before_evaluation_id: str
    after_evaluation_id: str
    num_compared: int
    equal_answers_rate: float
    equal_answers_interval: Interval
    equal_verdicts_rate: float
    equal_verdicts_interval: Interval
    differences: tuple[ParityDifference, ...]
    guilty_step: GuiltyStep
    sentence: str
