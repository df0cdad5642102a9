"""What is known of a training before it starts; the contract documents each field."""

from __future__ import annotations

from dataclasses import dataclass

from services.trainer.domain.memory import MemoryEstimate


@dataclass(frozen=True)
class SuiteFile:
    """The cases of a test suite, as a local file that never changes."""

    test_suite_version_id: str
    path: str
    digest: str


@dataclass(frozen=True)
class RowFault:
    """A row that the training would refuse."""

    line: int
    reason: str


@dataclass(frozen=True)
class SuiteOverlap:
    """A row that is nearly a case of a test suite."""

    line: int
    example_id: str
    test_suite_version_id: str
    case_id: str
    share: float

    @property
    def sentence(self) -> str:
        """What a person is told of it."""
        return (
            f"Line {self.line} of the dataset: Example {self.example_id[:100]} is nearly the case {self.case_id} of "
            f"{self.test_suite_version_id} ({100 * self.share:.0f} % of its task)."
        )


@dataclass(frozen=True)
class DuplicateRow:
    """A row with the same tokens, trained at the same places, as one before it."""

    line: int
    first_line: int


@dataclass(frozen=True)
class TokenLengths:
    """How long the rows of the train split are, in tokens."""

    min: int
    median: int
    p95: int
    max: int
    limit: int
    num_over_limit: int
    num_trained_tokens: int


@dataclass(frozen=True)
class SharedPrefix:
    """What computing equal beginnings once saves, in the batches of the first epoch."""

    num_raw_tokens: int
    num_unique_tokens: int

    @property
    def ratio(self) -> float:
        """The most that sharing alone can speed up; 1 where nothing is shared."""
        return self.num_raw_tokens / max(1, self.num_unique_tokens)


@dataclass(frozen=True)
class RowToken:
    """One token; `span` counts the trained stretches from 1, and is 0 where it is not trained."""

    text: str
    token_id: int
    span: int


@dataclass(frozen=True)
class RowTokens:
    """What the model sees of a row; `tokens` begin at place `first_token`."""

    line: int
    example_id: str
    num_tokens: int
    first_token: int
    tokens: tuple[RowToken, ...]


@dataclass(frozen=True)
class RowsReport:
    """What the process that reads rows and model says of them.

    Attributes:
        num_steps: Optimizer steps; 0 while rows are being looked at.
        checkpoint_bytes: One checkpoint.
        result_bytes: The result.
    """

    refusals: tuple[str, ...]
    warnings: tuple[str, ...]
    num_rows: int
    num_checked_rows: int
    num_train_rows: int
    num_validation_rows: int
    num_usable_rows: int
    num_faults: int
    faults: tuple[RowFault, ...]
    fault_lines: tuple[int, ...]
    num_duplicates: int
    duplicates: tuple[DuplicateRow, ...]
    num_overlaps: int
    overlaps: tuple[SuiteOverlap, ...]
    lengths: TokenLengths | None
    shared_prefix: SharedPrefix | None
    row: RowTokens | None
    memory: MemoryEstimate
    device: str
    num_steps: int
    checkpoint_bytes: int
    result_bytes: int


@dataclass(frozen=True)
class DiskEstimate:
    """What checkpoints and result take at most at once, and what is free."""

    needed_bytes: int
    free_bytes: int
    checkpoint_bytes: int


@dataclass(frozen=True)
class DurationEstimate:
    """How long the steps take; 0 seconds where nothing like it was measured, and `basis` says so."""

    num_steps: int
    seconds: float
    basis: str


@dataclass(frozen=True)
class TrainingPreflight:
    """All that is known; `duration` is None while rows are being looked at."""

    model_version_id: str
    dataset_version_id: str
    rows: RowsReport
    disk: DiskEstimate
    duration: DurationEstimate | None


@dataclass(frozen=True)
class PreflightRequest:
    """What the process is asked; all places are local.

    Attributes:
        spec: Document of the job's spec.
        line: The row whose tokens are wanted; 0 for the first of the train split.
        seconds: After so long it answers with what it has seen.
    """

    spec: dict[str, object]
    base_folder: str
    base_digest: str
    dataset_file: str
    dataset_digest: str
    suites: tuple[SuiteFile, ...]
    line: int
    dtype: str
    seconds: float
    adapter_folder: str = ""
