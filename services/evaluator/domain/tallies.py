"""Counts of verdicts from which metrics are made, so that no one has to read all verdicts again."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from services.evaluator.domain.verdict import Verdict
from services.protocols.verdict import UNANSWERED, LayerStatus


@dataclass(frozen=True)
class CaseTally:
    """How the repeats of one case fared.

    Attributes:
        count: those that have an answer; the numbers after it are of these.
        num_recovering: those with a client's error to recover from.
        num_unanswered: those that the machine did not answer.
    """

    case_id: str
    tool: str
    category: str
    count: int
    conforming: int
    accepted: int
    well_formed: int
    num_recovering: int = 0
    num_recovered: int = 0
    num_unanswered: int = 0


@dataclass
class LayerTotal:
    """Verdicts to which a layer applies, those that it passed, and the sum of its scores."""

    num_applicable: int = 0
    num_passed: int = 0
    score: float = 0.0


@dataclass
class ScoreTotal:
    """Verdicts that have a score, and its sum."""

    count: int = 0
    sum: float = 0.0


@dataclass
class Totals:
    """Sums over the verdicts of one evaluation; small, whatever their number.

    All but `count` are of those that have an answer.
    """

    count: int = 0
    num_unanswered: int = 0
    conforming: int = 0
    accepted: int = 0
    well_formed: int = 0
    num_turns: int = 0
    num_prompt_tokens: int = 0
    num_cached_tokens: int = 0
    num_generated_tokens: int = 0
    decode_seconds: float = 0.0
    causes: dict[str, int] = field(default_factory=dict)
    layers: dict[str, LayerTotal] = field(default_factory=dict)
    scores: dict[str, ScoreTotal] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)

    @property
    def num_answered(self) -> int:
        """Verdicts that have an answer."""
        return self.count - self.num_unanswered

    def add(self, verdicts: Iterable[Verdict]) -> None:
        """Count further verdicts."""
        for verdict in verdicts:
            self.count += 1
            if verdict.is_answered:
                self._add(verdict)
            else:
                self.num_unanswered += 1

    def add_score(self, name: str, score: float) -> None:
        """Count a score that was given later than its verdict."""
        total = self.scores.setdefault(name, ScoreTotal())
        total.count += 1
        total.sum += score

    def note(self, sentence: str) -> None:
        """Count something that a person should know of the evaluation as a whole."""
        self.notes[sentence] = self.notes.get(sentence, 0) + 1

    def _add(self, verdict: Verdict) -> None:
        self.conforming += verdict.conforming
        self.accepted += verdict.accepted
        self.well_formed += verdict.well_formed
        self.num_turns += verdict.num_turns
        spent = verdict.spent
        self.num_prompt_tokens += spent.num_prompt_tokens
        self.num_cached_tokens += spent.num_cached_tokens
        self.num_generated_tokens += spent.num_generated_tokens
        self.decode_seconds += spent.decode_seconds
        if verdict.cause:
            self.causes[verdict.cause] = self.causes.get(verdict.cause, 0) + 1
        for name, score in verdict.scores.items():
            self.add_score(name, score)
        for layer in verdict.layers:
            if layer.status is not LayerStatus.NOT_APPLICABLE:
                total = self.layers.setdefault(layer.name, LayerTotal())
                total.num_applicable += 1
                total.num_passed += layer.status is LayerStatus.PASSED
                total.score += layer.score or 0.0


@dataclass(frozen=True)
class Failing:
    """A verdict that does not conform, as far as advice and comparisons look at it.

    Attributes:
        layer: the first that failed.
        fault: what is wrong there.
        is_sole: nothing else is wrong: all that the case asks besides passed.
    """

    case_id: str
    tool: str
    category: str
    layer: str
    fault: str
    cause: str
    sentence: str
    is_sole: bool

    @property
    def is_answered(self) -> bool:
        """Whether there was an answer that could fail."""
        return self.cause != UNANSWERED
