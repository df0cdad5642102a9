"""Test runs and transcripts: the nouns of this service and their rules."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any

from services.chassis.errors import InvalidArgument

KIND = "test_run"
MAX_PAGE_SIZE = 1000
DEFAULT_PAGE_SIZE = 50
_MAX_ID_LENGTH = 200
_DTYPES = ("", "bfloat16", "float32")

# field → (least, most); the proto says what each means.
_BOUNDS: Mapping[str, tuple[float, float]] = {
    "sampling.temperature": (0.0, 10.0),
    "sampling.top_p": (0.0, 1.0),
    "sampling.top_k": (0, 1 << 20),
    "sampling.max_new_tokens": (1, 8192),
    "num_repeats": (1, 100),
    "seed": (0, (1 << 63) - 1),
}


class FinishReason(StrEnum):
    """Why an answer ended."""

    STOP = "stop"
    LENGTH = "length"
    CONTEXT_OVERFLOW = "context_overflow"
    BACKEND_FAULT = "backend_fault"


@dataclass(frozen=True)
class Message:
    """One turn of a conversation."""

    role: str
    content: str


@dataclass(frozen=True)
class Sampling:
    """How tokens are chosen; temperature 0 is greedy, `top_p` 1 and `top_k` 0 leave every token in."""

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    max_new_tokens: int = 192


@dataclass(frozen=True)
class TestRunSpec:
    """What a run does. It never changes after the run was created."""

    model_version_id: str
    test_suite_version_id: str
    prompt_size: str = "compact"
    sampling: Sampling = field(default_factory=Sampling)
    num_repeats: int = 1
    seed: int = 0
    dtype: str = ""

    def check(self) -> None:
        """Return when every value is within its bounds.

        Raises:
            InvalidArgument: One is not; the error names the field.
        """
        for name in ("model_version_id", "test_suite_version_id"):
            _check_id(name, getattr(self, name))
        for name, (least, most) in _BOUNDS.items():
            owner = self.sampling if name.startswith("sampling.") else self
            _check_number(name, getattr(owner, name.rpartition(".")[2]), least, most)
        if self.dtype not in _DTYPES:
            raise InvalidArgument(
                "spec.dtype is not a number format that a run can use.",
                "Use bfloat16, float32, or nothing for the fastest.",
                field="spec.dtype",
            )

    def to_document(self) -> dict[str, Any]:
        """Return the JSON form in which the job keeps it."""
        return asdict(self)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> TestRunSpec:
        """Return the spec that `to_document` wrote."""
        return cls(**{**document, "sampling": Sampling(**document["sampling"])})


@dataclass(frozen=True)
class Artifact:
    """Immutable bytes: where they lie and the digest that names them."""

    uri: str
    digest: str


@dataclass(frozen=True)
class RunInputs:
    """What a run reads, resolved once: versions, digests and where the weights lie."""

    model_version_id: str
    test_suite_version_id: str
    base: Artifact
    adapter: Artifact | None
    test_suite_digest: str
    profile_id: str
    profile_digest: str
    num_cases: int
    window_size: int

    def to_document(self) -> dict[str, Any]:
        """Return the JSON form in which the store keeps it."""
        return asdict(self)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> RunInputs:
        """Return the inputs that `to_document` wrote."""
        adapter = document["adapter"]
        return cls(
            **{**document, "base": Artifact(**document["base"]), "adapter": Artifact(**adapter) if adapter else None}
        )


@dataclass(frozen=True)
class Environment:
    """What generated: complete once the first answer is stored, and kept for all later ones."""

    dtype: str = ""
    num_threads: int = 0
    chat_template_digest: str = ""
    library_versions: Mapping[str, str] = field(default_factory=dict)

    def to_document(self) -> dict[str, Any]:
        """Return the JSON form in which the store keeps it."""
        return {**asdict(self), "library_versions": dict(self.library_versions)}


@dataclass(frozen=True)
class RunRecord:
    """What this service keeps of a run besides its job."""

    test_run_id: str
    inputs: RunInputs
    environment: Environment = field(default_factory=Environment)
    num_transcripts: int = 0
    num_generated_tokens: int = 0

    def resolved(self, spec: TestRunSpec) -> TestRunSpec:
        """Return `spec` with ids resolved to the versions that the run uses."""
        return replace(
            spec,
            model_version_id=self.inputs.model_version_id,
            test_suite_version_id=self.inputs.test_suite_version_id,
        )


@dataclass(frozen=True)
class Transcript:
    """One answer to one case; `sequence` is its place in the run, from 1."""

    test_run_id: str
    sequence: int
    case_id: str
    repeat: int
    messages: tuple[Message, ...]
    finish_reason: FinishReason
    token_ids: tuple[int, ...] = ()
    num_prompt_tokens: int = 0
    num_cached_tokens: int = 0
    prefill_seconds: float = 0.0
    decode_seconds: float = 0.0

    @property
    def transcript_id(self) -> str:
        """Unique within the service, the same however often its window was run."""
        return f"{self.test_run_id}-{self.sequence}"

    @property
    def size_bytes(self) -> int:
        """Nearly its size on the wire."""
        return sum(4 * len(message.content) for message in self.messages) + 5 * len(self.token_ids) + 200


@dataclass(frozen=True)
class Item:
    """One answer that is to be made: the case's index in the suite, and the repeat."""

    sequence: int
    case_index: int
    repeat: int


def windows(inputs: RunInputs, num_repeats: int, *, num_done: int = 0) -> Iterator[tuple[Item, ...]]:
    """Yield the windows that remain after `num_done` stored answers.

    Windows are cut at the same places whatever `num_done` is, so a window that is run again has the same members.
    """
    total = inputs.num_cases * num_repeats
    for start in range(0, total, inputs.window_size):
        end = min(start + inputs.window_size, total)
        if end > num_done:
            yield tuple(
                Item(sequence=index + 1, case_index=index % inputs.num_cases, repeat=index // inputs.num_cases)
                for index in range(start, end)
            )


def answer_seed(seed: int, case_id: str, repeat: int) -> int:
    """Return the seed of one answer, 0 to 2⁶³-1, a function of the run's seed, the case and the repeat alone."""
    digest = hashlib.sha256(f"{seed}/{repeat}/{case_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def checked_page_size(page_size: int) -> int:
    """Return the number of entries on a page, 50 when unset.

    Raises:
        InvalidArgument: It is negative or above 1000.
    """
    if not 0 <= page_size <= MAX_PAGE_SIZE:
        raise InvalidArgument(
            f"page_size is {page_size}.", f"Use 1 to {MAX_PAGE_SIZE}, or 0 for {DEFAULT_PAGE_SIZE}.", field="page_size"
        )
    return page_size or DEFAULT_PAGE_SIZE


def _check_id(name: str, value: str) -> None:
    if not value:
        raise InvalidArgument(f"spec.{name} is empty.", "Name a version that the registry lists.", field=f"spec.{name}")
    if len(value) > _MAX_ID_LENGTH:
        raise InvalidArgument(
            f"spec.{name} is longer than {_MAX_ID_LENGTH} characters.",
            "Name a version that the registry lists.",
            field=f"spec.{name}",
        )


def _check_number(name: str, value: float, least: float, most: float) -> None:
    if math.isnan(value) or not least <= value <= most:
        raise InvalidArgument(
            f"spec.{name} is {value}, which is out of range.", f"Use {least} to {most}.", field=f"spec.{name}"
        )
