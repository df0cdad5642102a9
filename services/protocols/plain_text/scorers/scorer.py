"""What a scorer is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from services.protocols.cases import CaseError, Scoring

Score = Callable[[str, Scoring], float]
"""From an answer without blanks at its ends to how right it is, 0 to 1."""


def _accept(scoring: Scoring) -> None:
    return


@dataclass(frozen=True, slots=True)
class Scorer:
    """One way to compare an answer with the targets.

    Attributes:
        score: says how right an answer is.
        options: type of each option that it knows, by name.
        needs_targets: it has nothing to compare with unless there is a target.
        check: raises CaseError, naming the field, when the targets or options make no sense to it.
    """

    score: Score
    options: Mapping[str, type] = field(default_factory=dict)
    needs_targets: bool = True
    check: Callable[[Scoring], None] = _accept

    def check_scoring(self, scoring: Scoring) -> None:
        """Raise CaseError, naming the field, unless the scorer can be used as a case asks."""
        if self.needs_targets and not scoring.targets:
            raise CaseError("scoring.targets", f"must hold a target: {scoring.scorer} compares with it")
        for name, value in scoring.options.items():
            if name not in self.options:
                names = ", ".join(self.options) or "none"
                raise CaseError(f"scoring.options.{name}", f"is unknown; {scoring.scorer} knows: {names}")
            if not isinstance(value, self.options[name]):
                raise CaseError(f"scoring.options.{name}", f"must be of the type {self.options[name].__name__}")
        self.check(scoring)
