"""Two to eight runs, case by case: which answer fails where, and one case's answers side by side."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import pairwise
from typing import NamedTuple

from drillyard.evaluator.v1 import verdict_pb2

from services.chassis.errors import FailedPrecondition, InvalidArgument
from ui.gateway.clients import Clients, every
from ui.test_runs.actions import newest_evaluation, read_transcript
from ui.test_runs.transcripts import AnswerView, TranscriptView, VerdictRow, verdict_row

MOST_RUNS = 8
# A blank by itself would stand in all places of both.
_WORDS = re.compile(r"\s*\w+|\s*[^\w\s]|\s+")
# What is longer is compared no further: the work grows with the square.
_MOST_WORDS = 800


class Piece(NamedTuple):
    """Some of an answer: whether the first run wrote it otherwise, and whether it is what failed."""

    text: str
    is_other: bool
    is_failing: bool


@dataclass(frozen=True)
class CaseRow:
    """One case and repeat with the verdict of each run, None where it has none."""

    key: str
    case_id: str
    tool: str
    cells: tuple[VerdictRow | None, ...]

    @property
    def rank(self) -> int:
        """What a person reads first: where the runs part, then what fails in all, then the rest."""
        num_right = sum(cell is not None and cell.outcome == "conforming" for cell in self.cells)
        return 2 if num_right == len(self.cells) else (1 if num_right == 0 else 0)


@dataclass(frozen=True)
class SideBySide:
    """The cases of some runs, those where they part first."""

    evaluation_ids: tuple[str, ...]
    rows: tuple[CaseRow, ...]

    @property
    def num_parted(self) -> int:
        """Cases that one run answers right and another does not."""
        return sum(row.rank == 0 for row in self.rows)


@dataclass(frozen=True)
class Column:
    """One run's conversation about a case; each answer in pieces."""

    transcript: TranscriptView
    answers: tuple[tuple[Piece, ...], ...]


async def read_side_by_side(clients: Clients, run_ids: Sequence[str]) -> SideBySide:
    """Return the cases of two to eight judged runs.

    Raises:
        InvalidArgument: There are fewer runs, or more.
        FailedPrecondition: One is not judged.
    """
    if not 2 <= len(run_ids) <= MOST_RUNS:
        raise InvalidArgument(f"{len(run_ids)} runs are chosen.", f"Choose two to {MOST_RUNS}.", field="runs")
    evaluations = await asyncio.gather(*(newest_evaluation(clients, run_id) for run_id in run_ids))
    ids = tuple(evaluation.evaluation_id for evaluation in evaluations if evaluation)
    if len(ids) < len(run_ids):
        raise FailedPrecondition("One of these runs is not judged.", "Evaluate it on the page Test runs.")
    verdicts = await asyncio.gather(
        *(
            every(clients.evaluator.ListVerdicts, verdict_pb2.ListVerdictsRequest(evaluation_id=item), "verdicts")
            for item in ids
        )
    )
    return SideBySide(ids, case_rows([[verdict_row(verdict) for verdict in each] for each in verdicts]))


def case_rows(verdicts: Sequence[Sequence[VerdictRow]]) -> tuple[CaseRow, ...]:
    """Return the rows of all cases of the runs, in the order in which a person reads them."""
    tables = [{(row.case_id, row.repeat): row for row in each} for each in verdicts]
    keys = dict.fromkeys(key for table in tables for key in table)
    rows = []
    for case_id, repeat in keys:
        cells = tuple(table.get((case_id, repeat)) for table in tables)
        tool = next(cell.tool for cell in cells if cell)
        name = f"{case_id} #{repeat + 1}" if repeat else case_id
        rows.append(CaseRow(f"{case_id} {repeat}", name, tool, cells))
    return tuple(sorted(rows, key=lambda row: row.rank))


async def read_columns(clients: Clients, cases: SideBySide, key: str) -> list[Column | None]:
    """Return the conversations of each run about one case, with what differs from the first one's answers."""
    row = next((row for row in cases.rows if row.key == key), None)
    if row is None:
        return []
    transcripts = await asyncio.gather(
        *(
            read_transcript(clients, evaluation_id, cell.transcript_id) if cell else _nothing()
            for evaluation_id, cell in zip(cases.evaluation_ids, row.cells, strict=True)
        )
    )
    return await asyncio.to_thread(columns_of, transcripts)


async def _nothing() -> None:
    return None


def columns_of(transcripts: Sequence[TranscriptView | None]) -> list[Column | None]:
    """Return the conversations in pieces; the first one that there is, is what the others are set against."""
    first = next((transcript for transcript in transcripts if transcript), None)
    texts = [_text(answer) for answer in first.answers] if first else []
    return [
        Column(
            transcript,
            tuple(
                pieces_of(answer, texts[place] if transcript is not first and place < len(texts) else None)
                for place, answer in enumerate(transcript.answers)
            ),
        )
        if transcript
        else None
        for transcript in transcripts
    ]


def pieces_of(answer: AnswerView, other: str | None) -> tuple[Piece, ...]:
    """Return an answer cut where it begins or ends to differ from another text, and around what failed."""
    text = _text(answer)
    failing = range(len(answer.before), len(answer.before) + len(answer.failing))
    spans = _differing(other, text) if other is not None else []
    marks = sorted({0, len(text), failing.start, failing.stop, *(place for span in spans for place in span)})
    return tuple(
        Piece(text[start:end], any(low <= start < high for low, high in spans), start in failing)
        for start, end in pairwise(marks)
    )


def _text(answer: AnswerView) -> str:
    written = answer.before + answer.failing + answer.after
    return "\n".join([*([written] if written else []), *answer.calls])


def _differing(other: str, text: str) -> list[tuple[int, int]]:
    """Return where a text has words that another one lacks."""
    before, after = _WORDS.findall(other)[:_MOST_WORDS], _WORDS.findall(text)[:_MOST_WORDS]
    places = [0]
    for word in after:
        places.append(places[-1] + len(word))
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    return [
        (places[start], places[end])
        for operation, _, _, start, end in matcher.get_opcodes()
        if operation in ("replace", "insert")
    ]
