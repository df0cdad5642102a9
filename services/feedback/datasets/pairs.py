"""A dataset of preferences: an answer that conforms against what the model itself answered and what failed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from services.feedback.datasets.builder import BuiltDataset, DatasetOrder, content_of, validation_rows
from services.feedback.datasets.cells import cell_of
from services.feedback.datasets.plan import NO_CAUSE, Share
from services.feedback.domain.item import digest_of
from services.protocols.profile import Profile
from services.protocols.suites.dataset_row import DatasetRow
from services.protocols.verdict import NOT_THE_MODELS

# Of exports of a release that healed nothing.
_REASON = "reference"


def pairs_of(exports: Iterable[bytes]) -> list[DatasetRow]:
    """Return the rows of evaluations' exports of pairs, each wrong answer to a case once; servers' faults make none."""
    rows: dict[str, DatasetRow] = {}
    for export in exports:
        for line in export.splitlines():
            row = DatasetRow.from_json(json.loads(line))
            if row.rejected is None or row.cause in NOT_THE_MODELS or row.rejected == row.messages[-1]:
                continue
            answer = [row.rejected.get("content", ""), row.rejected.get("tool_calls", ())]
            key = digest_of([row.case, [_unnamed(part) for part in answer]])
            rows.setdefault(
                key, replace(row, example_id=f"{row.example_id}.{len(rows) + 1}", reason=row.reason or _REASON)
            )
    return list(rows.values())


def build_pairs(profile: Profile, order: DatasetOrder, pairs: Iterable[DatasetRow]) -> BuiltDataset:
    """Return the dataset of pairs, with a validation split as one of answers has."""
    train = list(pairs)
    counts = Counter((cell_of(profile, row.category, row.tool), row.cause or NO_CAUSE) for row in train)
    shares = tuple(Share(cell, cause, count) for (cell, cause), count in counts.items())
    validation, num_replaced = validation_rows(profile, order, shares)
    return BuiltDataset(content_of([*train, *validation]), shares, num_replaced)


def _unnamed(part: object) -> object:
    """Return what an answer says without the ids of its calls, which differ each time."""
    if isinstance(part, list | tuple):
        return [call.get("function") for call in part]
    return part
