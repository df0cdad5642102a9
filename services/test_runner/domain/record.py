"""What this service keeps of a run besides its job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any

from services.test_runner.domain.test_run import TestRunSpec


class Form(StrEnum):
    """What the bytes of a version are, and so what answers by them."""

    FOLDER = "folder"
    GGUF = "gguf"
    OLLAMA = "ollama"


@dataclass(frozen=True)
class Artifact:
    """Immutable bytes: where they lie and the digest that names them."""

    uri: str
    digest: str


@dataclass(frozen=True)
class RunInputs:
    """What a run reads, resolved once: versions, digests and where the weights lie.

    `base` is None where an endpoint answers and no version is named; `num_threads` 0 leaves the choice to the backend.
    """

    model_version_id: str
    test_suite_version_id: str
    base: Artifact | None
    adapter: Artifact | None
    test_suite_digest: str
    profile_id: str
    profile_digest: str
    num_cases: int
    window_size: int
    num_threads: int = 0
    form: Form = Form.FOLDER
    num_context_tokens: int = 0

    @property
    def weights(self) -> dict[str, Any]:
        """What answers, by the names of a workload's fields."""
        return {name: getattr(self, name) for name in ("base", "adapter", "form", "num_context_tokens")}

    def to_document(self) -> dict[str, Any]:
        """Return the JSON form in which the store keeps it."""
        return asdict(self)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> RunInputs:
        """Return the inputs that `to_document` wrote."""
        artifacts = {name: Artifact(**document[name]) if document[name] else None for name in ("base", "adapter")}
        return cls(**{**document, **artifacts, "form": Form(document.get("form", Form.FOLDER))})


@dataclass(frozen=True)
class Environment:
    """What generated: complete once the first answer is stored, and kept for all later ones.

    `endpoint` is what a served model's server says of itself.
    """

    dtype: str = ""
    num_threads: int = 0
    chat_template_digest: str = ""
    library_versions: Mapping[str, str] = field(default_factory=dict)
    endpoint: Mapping[str, str] = field(default_factory=dict)
    device: str = ""

    def to_document(self) -> dict[str, Any]:
        """Return the JSON form in which the store keeps it."""
        return {**asdict(self), "library_versions": dict(self.library_versions), "endpoint": dict(self.endpoint)}


@dataclass(frozen=True)
class Hold:
    """What a process writes under: its hold of a job, which is the run's own or that of a share of it.

    `window` is the number, from 0, of the window that is written; None where nobody else works on the run.
    """

    job_id: str
    epoch: int
    window: int | None = None


@dataclass(frozen=True)
class RunRecord:
    """A run's inputs, what it ran with, and its counts; `num_unanswered` transcripts are faults of the machine.

    `num_ahead` transcripts are stored besides, behind a window that somebody still works on. No caller sees them, and
    no other number counts them, until that window is stored. `helped_seconds` is for how long other processes than the
    holders of its job worked on it.
    """

    test_run_id: str
    inputs: RunInputs
    environment: Environment = field(default_factory=Environment)
    num_transcripts: int = 0
    num_generated_tokens: int = 0
    num_unanswered: int = 0
    num_ahead: int = 0
    helped_seconds: float = 0.0

    @property
    def has_stored(self) -> bool:
        """Whether any answer is stored, seen or not."""
        return self.num_transcripts + self.num_ahead > 0

    def resolved(self, spec: TestRunSpec) -> TestRunSpec:
        """Return `spec` with ids resolved to the versions that the run uses."""
        return replace(
            spec,
            model_version_id=self.inputs.model_version_id,
            test_suite_version_id=self.inputs.test_suite_version_id,
        )


@dataclass(frozen=True)
class Claim:
    """The window that a hold may work on, or None, how many others are at work on, and the run as it is now."""

    window: int | None
    num_others: int
    record: RunRecord
