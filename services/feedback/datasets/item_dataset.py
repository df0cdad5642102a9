"""A dataset from feedback items, written to a file row by row; near-copies of what tests are left out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import IO

from services.feedback.datasets.builder import MAX_CHARACTERS
from services.feedback.datasets.cells import Cell
from services.feedback.datasets.drawing import DrawRequest, draw
from services.feedback.datasets.examples import examples_of
from services.feedback.datasets.item_rows import lesson_of, rows_of
from services.feedback.datasets.plan import NO_CAUSE, apportion_cells
from services.feedback.domain.dataset_build import DatasetBuildSpec, DatasetForm, LeftOut
from services.feedback.domain.item import Item, digest_of
from services.protocols.cases import Case, case_to_document
from services.protocols.material.catalogue import SINGLE_CALL
from services.protocols.profile import Profile
from services.protocols.session import SessionOver
from services.protocols.suites.balance import category_of
from services.protocols.suites.dataset_row import MAX_ROW_BYTES, DatasetRow
from services.protocols.suites.near_copies import SuiteTasks
from services.protocols.suites.overlap import Contents

REPLAY = "replay"
CHAT = "chat_replay"


class ItemDataset:
    """Takes items, newest first, and writes their rows.

    Args:
        spec: What is built.
        profile: The protocol; None for answers of chats.
        suites: The cases of each suite that tests, by its version's id.
        file: Gets a row a line.
    """

    def __init__(
        self,
        spec: DatasetBuildSpec,
        profile: Profile | None,
        suites: Sequence[tuple[str, Sequence[Case]]],
        file: IO[bytes],
    ) -> None:
        self.num_items = 0
        self.num_train_rows = 0
        self.num_rows: Counter[str] = Counter()
        self.num_left_out: Counter[str] = Counter()
        self._spec, self._profile, self._file = spec, profile, file
        self._suites = suites
        self._tasks = SuiteTasks(suites)
        self._near: dict[str, bool] = {}
        self._known: set[str] = set()
        self._tools: set[str] = set()

    @property
    def is_full(self) -> bool:
        """Whether it has as many rows as are wanted."""
        return self.num_rows.total() >= self._spec.max_rows

    def add(self, items: Iterable[Item]) -> None:
        """Write the rows of items, as long as more are wanted."""
        for item in items:
            if self.is_full:
                return
            self.num_items += 1
            reason = self._add(item)
            if reason is not None:
                self.num_left_out[reason] += 1

    def pass_over(self, num_items: int) -> None:
        """Count items that need not be looked at, since what they say teaches nothing in this form."""
        self.num_items += num_items
        if num_items:
            self.num_left_out[LeftOut.NOTHING_TO_LEARN] += num_items

    def _add(self, item: Item) -> LeftOut | None:
        lesson = lesson_of(item, self._spec.form)
        if isinstance(lesson, LeftOut):
            return lesson
        said = [item.case_document, *item.content.messages[:-1], lesson.answers, lesson.rejected]
        key = digest_of(said)
        if key in self._known:
            return LeftOut.DUPLICATE
        self._known.add(key)
        try:
            rows = rows_of(self._profile, item, lesson)
        except SessionOver:
            return LeftOut.CLIENT_STOPPED
        if any(map(self._is_near, rows)):
            return LeftOut.NEAR_SUITE
        split = self._split(item)
        rows = [replace(row, split=split) for row in rows[: self._spec.max_rows - self.num_rows.total()]]
        lines = [*map(_line_of, rows)]
        if max(map(len, lines)) > MAX_ROW_BYTES:
            return LeftOut.TOO_LONG
        for row, line in zip(rows, lines, strict=True):
            self._write(row, line)
        return None

    def add_rollouts(self, cases: Iterable[Case], causes: Mapping[str, Sequence[str]], prompt_size: str) -> None:
        """Write the prompts of those cases whose answers differ, by why each of them fails."""
        if self._profile is None:
            return
        for case in cases:
            if self.is_full:
                return
            if case.case_id in causes:
                self.num_items += 1
                row_id = f"prompt-{self.num_items}"
                row = rollout_row(self._profile, case, causes[case.case_id], prompt_size=prompt_size, row_id=row_id)
                reason = row if isinstance(row, LeftOut) else self._add_prompt(row)
                if reason is not None:
                    self.num_left_out[reason] += 1

    def _add_prompt(self, row: DatasetRow) -> LeftOut | None:
        key = digest_of(dict(row.case or {}))
        if key in self._known:
            return LeftOut.DUPLICATE
        self._known.add(key)
        if self._is_near(row):
            return LeftOut.NEAR_SUITE
        line = _line_of(replace(row, split=self._split_of(key)))
        if len(line) > MAX_ROW_BYTES:
            return LeftOut.TOO_LONG
        self._write(replace(row, split=self._split_of(key)), line)
        return None

    def add_chat(self, documents: Iterable[str]) -> None:
        """Write general conversations, so that plain chat is not forgotten; those near to a test are left out."""
        for number, document in enumerate(documents, start=1):
            row = DatasetRow.from_json(json.loads(document))
            row = replace(row, example_id=f"{CHAT}-{number}", split="train", reason=CHAT, feedback_item_id="")
            line = _line_of(row)
            if len(line) <= MAX_ROW_BYTES and not self._is_near(row):
                self._write(row, line)

    def replay(self) -> None:
        """Write right answers of the protocol's own material to the tools that no row teaches, or to all of them."""
        spec, profile = self._spec, self._profile
        count = round(spec.replay_share * self.num_rows.total())
        if not count or profile is None or not profile.categories or spec.form is DatasetForm.DPO:
            return
        pool = [Cell(SINGLE_CALL, tool) for tool in profile.tools] if SINGLE_CALL in profile.categories else []
        pool += [Cell(category, "") for category in profile.categories if category != SINGLE_CALL]
        cells = [cell for cell in pool if cell.tool not in self._tools] or pool
        own = [case for name, cases in self._suites if name.startswith(f"{profile.id}/") for case in cases]
        contents = Contents(own, closed_tools=profile.closed_tools)
        request = DrawRequest(profile, contents, spec.seed, "train", max_characters=MAX_CHARACTERS)
        drawn = draw(request, apportion_cells(count, dict.fromkeys(cells, 1.0), seed=spec.seed))
        for case in (case for cases in drawn.cases.values() for case in cases):
            for row in _replay_rows(profile, case):
                if not self._is_near(row):
                    self._write(row, _line_of(row))

    def _is_near(self, row: DatasetRow) -> bool:
        texts = row.asked_texts
        key = digest_of(texts)
        if key not in self._near:
            self._near[key] = self._tasks.near_copy(texts) is not None
        return self._near[key]

    def _split(self, item: Item) -> str:
        # A chat has no case to ask.
        return self._split_of(digest_of(item.case_document)) if item.case_document else "train"

    def _split_of(self, digest: str) -> str:
        # By whole cases, so that training does not measure itself on what it has learnt.
        place = int(digest[:8], 16) / 2**32
        return "validation" if place < self._spec.validation_share else "train"

    def _write(self, row: DatasetRow, line: bytes) -> None:
        self._file.write(line)
        self.num_rows[row.reason] += 1
        self.num_train_rows += row.split == "train"
        if row.tool:
            self._tools.add(row.tool)


def _line_of(row: DatasetRow) -> bytes:
    return json.dumps(row.to_json(), ensure_ascii=False, default=dict).encode() + b"\n"


def _replay_rows(profile: Profile, case: Case) -> Iterator[DatasetRow]:
    examples = examples_of(profile, case, profile.prompt_sizes[0])
    for number, example in enumerate(examples, start=1):
        yield DatasetRow(
            f"{REPLAY}-{case.case_id}.{number}",
            example.messages,
            tools=example.tools,
            case=case_to_document(case),
            tool=case.tool,
            category=category_of(case),
            cause=NO_CAUSE,
            profile_id=profile.id,
            reason=REPLAY,
        )


MIXED = "mixed_rollouts"


def rollout_row(
    profile: Profile, case: Case, causes: Sequence[str], *, prompt_size: str, row_id: str
) -> DatasetRow | LeftOut:
    """Return the row of a case by what became of its answers, or why it teaches nothing.

    Args:
        profile: The protocol.
        case: The case.
        causes: Why each answer fails, empty for one that conforms; those that the machine failed on are not among them.
        prompt_size: What the answers were asked with.
        row_id: The row's id.
    """
    failures = Counter(cause for cause in causes if cause)
    if not 0 < failures.total() < len(causes):
        return LeftOut.SAME_OUTCOME
    example = examples_of(profile, case, prompt_size)[0]
    return DatasetRow(
        row_id,
        example.messages,
        tools=example.tools,
        case=case_to_document(case),
        tool=case.tool,
        category=category_of(case),
        cause=failures.most_common(1)[0][0],
        profile_id=profile.id,
        reason=MIXED,
    )
