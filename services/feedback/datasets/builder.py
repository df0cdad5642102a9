"""Builds a dataset: right answers to what failed, of the kinds that the suite is made of, never a case of the suite."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from services.feedback.datasets.cells import Cell, cell_of, cell_weights
from services.feedback.datasets.drawing import DrawRequest, draw
from services.feedback.datasets.examples import examples_of
from services.feedback.datasets.plan import NO_CAUSE, Result, Share, apportion_cells, plan
from services.feedback.domain.work import ProbeVerdict
from services.protocols.cases import Case, case_to_document
from services.protocols.material.draw import Split
from services.protocols.profile import Profile
from services.protocols.suites.balance import category_of
from services.protocols.suites.dataset_row import DatasetRow
from services.protocols.suites.overlap import Contents

NUM_VALIDATION_EXAMPLES = 26
# Some 2,000 tokens behind the prompt that all rows share: more would take most of a training step for itself.
MAX_CHARACTERS = 4_000

Labelled = list[tuple[Case, str]]


@dataclass(frozen=True)
class DatasetOrder:
    """What a dataset is built from.

    Attributes:
        prompt_size: Prompt size of the profile.
        seed: Chooses the cases and their order.
        num_examples: Rows of the train split.
        verdicts: What became of the probe.
        suite_cases: The suite's, whose kinds the rows have; none of them is in the dataset.
        replay_share: Share of the train rows that practise what did not fail.
    """

    prompt_size: str
    seed: int
    num_examples: int
    verdicts: Sequence[ProbeVerdict]
    suite_cases: Sequence[Case]
    replay_share: float = 0.0


@dataclass(frozen=True)
class BuiltDataset:
    """JSON lines, what their train split holds, and how many drawn cases were too near to the suite."""

    content: bytes
    shares: tuple[Share, ...]
    num_replaced: int


def probe_cases(profile: Profile, suite_cases: Sequence[Case], *, seed: int, count: int) -> list[Case]:
    """Return cases of the split `probe`, made as the suite is, the kinds in turn.

    Raises:
        FailedPrecondition: There are too few that are not near to the suite.
    """
    request = DrawRequest(profile, _contents(profile, suite_cases), seed, "probe")
    wanted = apportion_cells(count, cell_weights(profile, suite_cases), seed=seed)
    waiting: dict[str, list[Case]] = {}
    for cell, cases in draw(request, wanted).cases.items():
        waiting.setdefault(cell.kind, []).extend(cases)
    most = max(map(len, waiting.values()), default=0)
    return [cases[turn] for turn in range(most) for cases in waiting.values() if turn < len(cases)]


def build(profile: Profile, order: DatasetOrder) -> BuiltDataset:
    """Return the dataset; equal orders give equal bytes.

    A task of several answers is one row, in which all of them are trained; one whose functions change on the way makes
    a row for each set of them.

    Raises:
        FailedPrecondition: The material has too few cases that are not in the suite.
    """
    parts = cell_weights(profile, order.suite_cases)
    results = [_result(profile, verdict) for verdict in order.verdicts]
    shares = plan(results, parts, order.num_examples, seed=order.seed, replay_share=order.replay_share)
    suite = _contents(profile, order.suite_cases)
    train = draw(DrawRequest(profile, suite, order.seed, "train", max_characters=MAX_CHARACTERS), _per_cell(shares))
    validation, num_replaced = validation_rows(profile, order, shares)
    treated = _labelled(train.cases, shares)
    rows = [*_rows(profile, order, treated, "train"), *validation]
    return BuiltDataset(content_of(rows), _shares_of(profile, treated), train.num_replaced + num_replaced)


def validation_rows(profile: Profile, order: DatasetOrder, shares: Sequence[Share]) -> tuple[list[DatasetRow], int]:
    """Return the rows of the validation split, and how many drawn cases were too near to the suite.

    Training asks them for one answer, in between and at its end.
    """
    asked = cell_weights(profile, [case for case in order.suite_cases if case.max_turns == 1])
    suite = _contents(profile, order.suite_cases)
    validation = draw(
        DrawRequest(profile, suite, order.seed, "validation", lambda case: not case.solution, MAX_CHARACTERS),
        apportion_cells(min(NUM_VALIDATION_EXAMPLES, order.num_examples), asked, seed=order.seed),
    )
    rows = _rows(profile, order, _labelled(validation.cases, _main_causes(shares)), "validation")
    return list(rows), validation.num_replaced


def content_of(rows: Iterable[DatasetRow]) -> bytes:
    """Return rows as a file, a line each."""
    return "".join(json.dumps(row.to_json(), ensure_ascii=False) + "\n" for row in rows).encode("utf-8")


def _contents(profile: Profile, cases: Sequence[Case]) -> Contents:
    return Contents(cases, closed_tools=profile.closed_tools)


def _result(profile: Profile, verdict: ProbeVerdict) -> Result:
    return Result(cell_of(profile, verdict.category.partition(".")[0], verdict.tool), verdict.cause)


def _per_cell(shares: Sequence[Share]) -> dict[Cell, int]:
    counts: dict[Cell, int] = {}
    for share in shares:
        counts[share.cell] = counts.get(share.cell, 0) + share.count
    return counts


def _main_causes(shares: Sequence[Share]) -> list[Share]:
    main: dict[Cell, Share] = {}
    for share in shares:
        main[share.cell] = max(main.get(share.cell, share), share, key=lambda known: known.count)
    return list(main.values())


def _labelled(cases: Mapping[Cell, Sequence[Case]], shares: Sequence[Share]) -> Labelled:
    """Say of each case which cause it treats: those of its cell one after the other, else the main one of its kind."""
    waiting: dict[Cell, dict[str, int]] = {}
    kinds: dict[str, Share] = {}
    for share in shares:
        waiting.setdefault(share.cell, {})[share.cause] = share.count
        kinds[share.cell.kind] = max(kinds.get(share.cell.kind, share), share, key=lambda known: known.count)
    labelled: Labelled = []
    for cell, drawn in cases.items():
        causes = waiting.get(cell) or {kinds[cell.kind].cause if cell.kind in kinds else NO_CAUSE: 0}
        for case in drawn:
            cause = next((cause for cause, count in causes.items() if count > 0), next(reversed(causes)))
            causes[cause] -= 1
            labelled.append((case, cause))
    return labelled


def _shares_of(profile: Profile, labelled: Labelled) -> tuple[Share, ...]:
    counts: Counter[tuple[Cell, str]] = Counter()
    for case, cause in labelled:
        counts[cell_of(profile, category_of(case), case.tool), cause] += 1
    return tuple(Share(cell, cause, count) for (cell, cause), count in counts.items())


def _rows(profile: Profile, order: DatasetOrder, labelled: Labelled, split: Split) -> Iterator[DatasetRow]:
    shuffled = list(labelled)
    random.Random(f"{order.seed}/{split}").shuffle(shuffled)
    for case, cause in shuffled:
        examples = examples_of(profile, case, order.prompt_size)
        # Cases are numbered anew in each split.
        name = case.case_id if split == "train" else f"{split}-{case.case_id}"
        for part, example in enumerate(examples, start=1):
            yield DatasetRow(
                name if len(examples) == 1 else f"{name}.{part}",
                example.messages,
                split=split,
                tools=example.tools,
                case=case_to_document(case),
                tool=case.tool,
                category=category_of(case),
                cause=cause,
                profile_id=profile.id,
            )
