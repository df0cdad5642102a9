"""What the test runner needs from outside."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from services.protocols.cases import Case
from services.test_runner.domain import (
    Artifact,
    Environment,
    FinishReason,
    Message,
    RunRecord,
    Sampling,
    Transcript,
)


@dataclass(frozen=True)
class ResolvedModel:
    """One model version: the weights to load, and the adapter to put on them."""

    model_version_id: str
    base: Artifact
    adapter: Artifact | None


@dataclass(frozen=True)
class ResolvedSuite:
    """One suite version."""

    test_suite_version_id: str
    digest: str
    profile_id: str
    num_cases: int


class Registry(Protocol):
    """Where models and suites are kept."""

    async def resolve_model(self, model_version_id: str) -> ResolvedModel:
        """Return what a version, or the newest of a model, is made of.

        Raises:
            NotFound: There is no such version.
            FailedPrecondition: It is of a kind that cannot generate.
        """
        ...

    async def resolve_suite(self, test_suite_version_id: str) -> ResolvedSuite:
        """Return a suite version, or the newest of a suite.

        Raises:
            NotFound: There is no such version.
        """
        ...

    async def list_cases(self, test_suite_version_id: str) -> tuple[Case, ...]:
        """Return all cases of a suite version in its order."""
        ...


class RunStore(Protocol):
    """Keeps runs and their transcripts."""

    async def add_run(self, record: RunRecord) -> RunRecord:
        """Store a run, or return the one that is stored under its id already."""
        ...

    async def get_run(self, test_run_id: str) -> RunRecord | None:
        """Return a run, or None."""
        ...

    async def get_runs(self, test_run_ids: Sequence[str]) -> Mapping[str, RunRecord]:
        """Return those of the runs that are stored, by id."""
        ...

    async def append_window(
        self, test_run_id: str, epoch: int, environment: Environment, transcripts: Sequence[Transcript]
    ) -> RunRecord:
        """Store the transcripts of one window, all or none, and return the run with its new counts.

        Raises:
            FailedPrecondition: The job was taken over by another process since `epoch`, or the window does not
                follow what is stored.
        """
        ...

    async def get_transcript(self, transcript_id: str) -> Transcript | None:
        """Return a transcript, or None."""
        ...

    async def list_transcripts(self, test_run_id: str, after_sequence: int, limit: int) -> tuple[Transcript, ...]:
        """Return up to `limit` transcripts after a place in the run, in their order."""
        ...


@dataclass(frozen=True)
class Prompt:
    """One conversation to answer; `key` names it among the answers."""

    key: str
    messages: tuple[Message, ...]
    seed: int


@dataclass(frozen=True)
class Workload:
    """What a backend is to answer, and with which weights.

    `num_threads` 0 and an empty `dtype` leave the choice to the backend.
    """

    base: Artifact
    adapter: Artifact | None
    prompts: tuple[Prompt, ...]
    sampling: Sampling
    dtype: str = ""
    num_threads: int = 0


@dataclass(frozen=True)
class Answer:
    """The answer to one prompt."""

    key: str
    text: str
    finish_reason: FinishReason
    token_ids: tuple[int, ...] = ()
    num_prompt_tokens: int = 0
    num_cached_tokens: int = 0
    prefill_seconds: float = 0.0
    decode_seconds: float = 0.0


@dataclass(frozen=True)
class Activity:
    """A sign of life: the phase ("load_model" or "generate"), tokens of this workload so far, sequences in work."""

    phase: str
    num_tokens: int = 0
    num_active: int = 0


@dataclass(frozen=True)
class Prepared:
    """The model is loaded; sent before the first answer."""

    environment: Environment = field(default_factory=Environment)


GenerationEvent = Activity | Prepared | Answer


class BackendFaultError(Exception):
    """The backend broke while it worked; the same workload may succeed when tried again."""


class GenerationBackend(Protocol):
    """Generates answers. Closing the stream early stops the work."""

    def generate(self, workload: Workload) -> AsyncGenerator[GenerationEvent]:
        """Yield `Prepared`, then every answer as it is finished, with activity between.

        Raises:
            BackendFaultError: The backend broke; answers that were yielded are good.
            ServiceError: The workload cannot be served however often it is tried.
        """
        ...
