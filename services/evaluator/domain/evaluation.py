"""Evaluations: one judging of one test run, and the rates that reduce it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

KIND = "evaluation"


@dataclass(frozen=True)
class Sampling:
    """How the run's answers were chosen."""

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    max_new_tokens: int = 192


@dataclass(frozen=True)
class Subject:
    """The run that is judged, as it was when the evaluation was created; none of it changes afterwards."""

    test_run_id: str
    model_version_id: str
    test_suite_version_id: str
    test_suite_digest: str
    profile_id: str
    profile_digest: str
    prompt_size: str
    sampling: Sampling
    num_repeats: int
    seed: int
    num_transcripts_total: int

    def to_document(self) -> dict[str, Any]:
        """Return the JSON form in which the store keeps it."""
        return asdict(self)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Subject:
        """Return the subject that `to_document` wrote."""
        return cls(**{**document, "sampling": Sampling(**document["sampling"])})


@dataclass(frozen=True)
class EvaluationRecord:
    """What this service keeps of an evaluation besides its job.

    Attributes:
        evaluation_id: Same as the job's id.
        subject: The run.
        judge_digest: Digest of the profile that judges, in this service's release.
        num_verdicts: Verdicts that are stored; also the run's sequence up to which it is judged.
        ordinal: Order of creation.
    """

    evaluation_id: str
    subject: Subject
    judge_digest: str
    num_verdicts: int = 0
    ordinal: int = 0


@dataclass(frozen=True)
class Tally:
    """How many verdicts of one evaluation share a tool, a cause (empty: none) and these three outcomes."""

    tool: str
    cause: str
    conforming: bool
    accepted: bool
    well_formed: bool
    count: int


@dataclass(frozen=True)
class Rates:
    """Shares of transcripts, 0 to 1; all 0 when there are none."""

    num_cases: int = 0
    conforming_rate: float = 0.0
    accepted_rate: float = 0.0
    well_formed_rate: float = 0.0


@dataclass(frozen=True)
class Metrics:
    """Rates of all verdicts and by tool (sorted by name), and counts by cause (most frequent first)."""

    overall: Rates
    by_tool: Mapping[str, Rates]
    by_cause: Mapping[str, int]
