"""Goes through the rows of a dataset once, in parts, and remembers of each what any settings may ask for later."""

from __future__ import annotations

import hashlib
import time
from array import array
from pathlib import Path
from typing import BinaryIO, Final

from services.protocols.profile import get_profile
from services.protocols.suites.dataset_row import MAX_ROW_BYTES, DatasetRow
from services.protocols.suites.near_copies import SuiteTasks
from services.protocols.suites.suite import parse_suite
from services.trainer.domain.plan import AttemptPlan
from services.trainer.domain.preflight import DuplicateRow, RowFault, SuiteFile, SuiteOverlap
from services.trainer.domain.spec import TrainingMethod
from services.trainer.training.examples import BadExampleError, row_of_line
from services.trainer.training.preflight.reader import Reader, Reading

_MAX_LISTED = 10
# Of 4 bytes each; rows beyond are looked at as the others, but not compared with each other.
_MAX_KEPT_TOKENS: Final = 64_000_000


class Scan:
    """What was seen of the rows of one dataset, as one method reads them with one model.

    Attributes:
        lengths: Tokens of the longest sequence of each row of the train split that can be read, by line.
        sequences: Ids of the sequences of these rows, the rows in their order.
        offsets: Where the line of each row begins in the file, from line 1.
    """

    def __init__(self, reader: Reader, dataset_file: Path, method: TrainingMethod, suites: SuiteTasks) -> None:
        """Begin at the first row."""
        self.reader, self.method = reader, method
        self.lengths: dict[int, int] = {}
        self.example_ids: dict[int, str] = {}
        self.sequences: list[tuple[array[int], ...]] = []
        self.offsets: list[int] = []
        self.faults: list[RowFault] = []
        self.duplicates: list[DuplicateRow] = []
        self.overlaps: list[SuiteOverlap] = []
        self.num_train, self.num_validation, self.num_trained_tokens = 0, 0, 0
        self.is_done = False
        self._file, self._suites = dataset_file, suites
        self._place, self._num_kept = 0, 0
        self._first_lines: dict[bytes, int] = {}

    @property
    def num_checked(self) -> int:
        """Rows that were looked at."""
        return len(self.offsets)

    def go_on(self, seconds: float) -> None:
        """Look at rows until all were looked at or the time is up; at one at least."""
        deadline = time.monotonic() + seconds
        with self._file.open("rb") as file:
            file.seek(self._place)
            while line := file.readline(MAX_ROW_BYTES + 1):
                self.offsets.append(self._place)
                # A row that ends by the limit of time is not looked at again.
                self._place = file.tell()
                self._look(line, file)
                if time.monotonic() > deadline:
                    return
        self.is_done = True

    def row(self, line: int) -> DatasetRow:
        """Return the row of a line that was looked at, or of the first line of the train split for 0.

        Raises:
            BadExampleError: There is none that can be read.
        """
        number = line or next(iter(self.lengths), 1)
        if not 1 <= number <= len(self.offsets):
            raise BadExampleError(f"The dataset has no line {number}: its last one is {len(self.offsets)}.")
        with self._file.open("rb") as file:
            file.seek(self.offsets[number - 1])
            return row_of_line(file.readline(MAX_ROW_BYTES + 1), number)

    def rows_in_all(self) -> int:
        """How many rows the file has, by its size where it is not read to the end."""
        if self.is_done:
            return self.num_checked
        return max(self.num_checked, round(self.num_checked * self._file.stat().st_size / max(1, self._place)))

    def faults_by(self, max_tokens: int) -> list[RowFault]:
        """Return the rows that training would refuse, those with more than `max_tokens` among them, by line."""
        long = [
            RowFault(
                line,
                f"Line {line} of the dataset: Example {self.example_ids[line][:100]} has {length} tokens, the limit is "
                f"{max_tokens}: drop it, choose a smaller prompt size, or raise max_tokens_per_pack where the model's "
                "context allows it.",
            )
            for line, length in self.lengths.items()
            if length > max_tokens
        ]
        return sorted([*self.faults, *long], key=lambda fault: fault.line)

    def _look(self, line: bytes, file: BinaryIO) -> None:
        number = len(self.offsets)
        if len(line) > MAX_ROW_BYTES:
            while line and not line.endswith(b"\n"):
                line = file.readline(MAX_ROW_BYTES)
            self._place = file.tell()
            self.faults.append(RowFault(number, f"Line {number} of the dataset is longer than {MAX_ROW_BYTES} bytes."))
            return
        if not line.strip():
            return
        try:
            row = row_of_line(line, number)
            self._look_at(row)
        except BadExampleError as error:
            self.faults.append(RowFault(number, str(error)))

    def _look_at(self, row: DatasetRow) -> None:
        if row.split == "validation":
            self.num_validation += 1
            self.reader.prompt_of(row)
            return
        self.num_train += 1
        near = self._suites.near_copy(row.asked_texts)
        if near:
            self.overlaps.append(SuiteOverlap(row.line, row.example_id, near.suite, near.case_id, near.share))
        reading = self.reader.read(row, self.method)
        if reading is not None:
            self._keep(row, reading)

    def _keep(self, row: DatasetRow, reading: Reading) -> None:
        sequences = reading.sequences
        self.lengths[row.line] = reading.num_tokens
        self.example_ids[row.line] = row.example_id
        self.num_trained_tokens += sum(sequence.num_trained for sequence in sequences)
        digest = hashlib.blake2b(digest_size=16)
        kept = tuple(array("I", sequence.ids) for sequence in sequences)
        for sequence, ids in zip(sequences, kept, strict=True):
            digest.update(f"{len(ids)} {sequence.spans} ".encode() + ids.tobytes())
        first = self._first_lines.setdefault(digest.digest(), row.line)
        if first != row.line:
            self.duplicates.append(DuplicateRow(row.line, first))
        self._num_kept += sum(map(len, kept))
        if self._num_kept <= _MAX_KEPT_TOKENS:
            self.sequences.append(kept)


def suite_tasks(suites: tuple[SuiteFile, ...]) -> SuiteTasks:
    """Return the tasks of registered suites, whose lines the registry has checked."""
    read = []
    for suite in suites:
        profile = get_profile(suite.test_suite_version_id.partition("/")[0])
        text = Path(suite.path).read_text(encoding="utf-8")
        name = suite.test_suite_version_id
        parsed = parse_suite(text, suite_id=name, version=1, profile=profile.id, check_case=profile.check_case)
        read.append((name, parsed.cases))
    return SuiteTasks(read)


def check_rows(plan: AttemptPlan) -> None:
    """Return when the model's chat template takes every row, each has something to train, is short and no test.

    Raises:
        BadExampleError: One is not so; the first is named with its line and the reason, the others with their lines.
        LmError: The model's text side cannot be used.
    """
    reader = Reader.of(Path(plan.base_folder))
    scan = Scan(reader, Path(plan.dataset_file), plan.spec.method, suite_tasks(plan.suites))
    scan.go_on(float("inf"))
    limit = min(plan.spec.max_tokens_per_pack, reader.max_positions)
    if faults := scan.faults_by(limit):
        raise BadExampleError(sentence_of(scan, faults, limit))
    if not scan.lengths:
        raise BadExampleError(nothing_sentence(scan))
    if plan.suites and scan.overlaps:
        raise BadExampleError(overlap_sentence(scan))


def sentence_of(scan: Scan, faults: list[RowFault], limit: int) -> str:
    """Return the first fault in words, and of the others the lines."""
    sentences, others = [faults[0].reason], [str(fault.line) for fault in faults[1:]]
    if (longest := max(scan.lengths.values(), default=0)) > limit:
        sentences.append(f"The longest row has {longest} tokens, the model's context {scan.reader.max_positions}.")
    if others:
        lines = ", ".join(others[:_MAX_LISTED]) + " …" * (len(others) > _MAX_LISTED)
        sentences.append(f"{len(others)} more rows cannot be used (lines {lines}).")
    return " ".join(sentences)


def nothing_sentence(scan: Scan) -> str:
    """Return why there is nothing to train on."""
    if not scan.num_train:
        return "The dataset has no example in its train split. Use a version whose train split has rows."
    return (
        "No row of the train split has a case, so no answer can be rewarded: build the dataset from a suite, or train "
        "by sft or dpo."
    )


def overlap_sentence(scan: Scan) -> str:
    """Return which row is nearly which case, how many more are, and what to do."""
    others = f" So are {len(scan.overlaps) - 1} more rows." if len(scan.overlaps) > 1 else ""
    return (
        f"{scan.overlaps[0].sentence}{others} A model that was trained on a test tells nothing by passing it: drop the "
        "rows, or allow it by allow_suite_overlap."
    )
