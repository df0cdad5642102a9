"""Test runs: what they are, and what is kept of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from typing import Any, ClassVar

from services.chassis.errors import InvalidArgument
from services.test_runner.domain.endpoint import Endpoint
from services.test_runner.domain.generation import Sampling, check_id

KIND = "test_run"
# The part of a run that another process takes: window after window, for as long as there are any.
SHARE_KIND = "test_run_share"
_DTYPES = ("", "bfloat16", "float32")


class TestRunPhase(StrEnum):
    """What a test run does now."""

    LOAD_MODEL = "load_model"
    GENERATE = "generate"


@dataclass(frozen=True)
class TestRunSpec:
    """What a run does. It never changes after the run was created; defaults and bounds stand in the contract.

    `endpoint` is the served model that answers; None for the registry's weights in a worker process.
    """

    MESSAGE: ClassVar = "drillyard.test_runner.v1.test_run_pb2.TestRunSpec"

    model_version_id: str
    test_suite_version_id: str
    prompt_size: str
    sampling: Sampling
    num_repeats: int
    seed: int
    dtype: str
    endpoint: Endpoint | None
    throughput: bool
    log_probs: bool
    case_timeout_seconds: float
    run_timeout_seconds: float
    repeat_of_test_run_id: str
    keep_answers: bool

    def filled(self, other: TestRunSpec) -> TestRunSpec:
        """Return it with everything that is unset (empty, 0, false) taken from `other`.

        Version and endpoint say together who answers: either is taken only where both are unset.
        """
        values = {entry.name: getattr(self, entry.name) or getattr(other, entry.name) for entry in fields(self)}
        chosen = {name: value for name, value in vars(self.sampling).items() if value}
        values["sampling"] = replace(other.sampling, **chosen)
        if self.model_version_id or self.endpoint:
            values |= {"model_version_id": self.model_version_id, "endpoint": self.endpoint}
        return TestRunSpec(**values)

    def check(self) -> None:
        """Return when the fields can be used and fit each other.

        Raises:
            InvalidArgument: They do not; the error names the field.
        """
        if self.endpoint is not None:
            self.endpoint.check("spec.")
        else:
            check_id("spec.model_version_id", self.model_version_id)
        check_id("spec.test_suite_version_id", self.test_suite_version_id)
        if self.dtype not in _DTYPES:
            raise InvalidArgument(
                "spec.dtype is not a number format that a run can use.",
                "Use bfloat16, float32, or nothing for the fastest.",
                field="spec.dtype",
            )


@dataclass(frozen=True)
class Item:
    """One transcript that is to be made: its place in the plan from 1, the case's index in the suite, the repeat."""

    number: int
    case_index: int
    repeat: int


def items(num_cases: int, num_repeats: int, *, num_done: int = 0) -> Iterator[Item]:
    """Yield what a run makes, in order: all cases, then all again for the next repeat."""
    for index in range(num_done, num_cases * num_repeats):
        yield Item(number=index + 1, case_index=index % num_cases, repeat=index // num_cases)


def answer_seed(seed: int, case_id: str, repeat: int, turn: int = 0) -> int:
    """Return the seed of one answer, 0 to 2⁶³-1, a function of the run's seed, case, repeat and turn alone."""
    name = f"{seed}/{repeat}/{case_id}" if turn == 0 else f"{seed}/{repeat}/{case_id}/{turn}"
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") >> 1


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
            spec, model_version_id=self.inputs.model_version_id, test_suite_version_id=self.inputs.test_suite_version_id
        )


@dataclass(frozen=True)
class Claim:
    """The window that a hold may work on, or None, how many others are at work on, and the run as it is now."""

    window: int | None
    num_others: int
    record: RunRecord
