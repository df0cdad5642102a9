"""Builds a dataset: the pool's reference answers, in proportion to what failed and never a case of the suite."""

from __future__ import annotations

import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from services.chassis.errors import FailedPrecondition
from services.feedback.datasets.plan import NO_CAUSE, Share, apportion, plan
from services.feedback.domain.work import ProbeVerdict
from services.protocols.cases import Case, case_to_document
from services.protocols.profile import Profile, Split
from services.protocols.suites.overlap import find_overlaps

NUM_VALIDATION_EXAMPLES = 26
_MAX_DRAWS = 6


@dataclass(frozen=True)
class DatasetOrder:
    """What a dataset is built from.

    Attributes:
        prompt_size: Prompt size of the profile.
        seed: Chooses the cases and their order.
        num_examples: Rows of the train split.
        verdicts: What became of the probe.
        suite_cases: Cases that must not be in the dataset.
    """

    prompt_size: str
    seed: int
    num_examples: int
    verdicts: Sequence[ProbeVerdict]
    suite_cases: Sequence[Case]


@dataclass(frozen=True)
class BuiltDataset:
    """JSON lines, the plan that their train split follows, and how many drawn cases were too near to the suite."""

    content: bytes
    shares: tuple[Share, ...]
    num_replaced: int


def build(profile: Profile, order: DatasetOrder) -> BuiltDataset:
    """Return the dataset; equal orders give equal bytes.

    Raises:
        FailedPrecondition: The pool has too few cases that are not in the suite.
    """
    shares = plan(order.verdicts, profile.tools, order.num_examples)
    train, num_replaced = _draw(profile, order, _per_tool(shares), "train")
    num_validation = min(NUM_VALIDATION_EXAMPLES, order.num_examples)
    wanted = apportion(num_validation, dict.fromkeys(profile.tools, 1.0))
    validation, num_replaced_too = _draw(profile, order, wanted, "validation")
    rows = [
        *_rows(profile, order, _labelled(train, shares), "train"),
        *_rows(profile, order, _labelled(validation, _main_causes(shares, wanted)), "validation"),
    ]
    content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    return BuiltDataset(content.encode("utf-8"), shares, num_replaced + num_replaced_too)


def _draw(
    profile: Profile, order: DatasetOrder, wanted: Mapping[str, int], split: Split
) -> tuple[dict[str, list[Case]], int]:
    spare = dict.fromkeys(wanted, 0)
    for _ in range(_MAX_DRAWS):
        pool = [
            case
            for tool, count in wanted.items()
            if count
            for case in profile.generate_pool(order.seed, count + spare[tool], tools=(tool,), split=split)
        ]
        near = {
            overlap.pool_case for overlap in find_overlaps(order.suite_cases, pool, closed_tools=profile.closed_tools)
        }
        fit: defaultdict[str, list[Case]] = defaultdict(list)
        for case in pool:
            if case.case_id not in near:
                fit[case.tool].append(case)
        short = {tool: count - len(fit[tool]) for tool, count in wanted.items() if len(fit[tool]) < count}
        if not short:
            return {tool: fit[tool][:count] for tool, count in wanted.items()}, len(near)
        for tool, missing in short.items():
            spare[tool] = 2 * (spare[tool] + missing)
    raise FailedPrecondition(
        f"The training pool has too few cases of {', '.join(sorted(short))} that are not near to the suite.",
        "Ask for fewer examples.",
    )


def _per_tool(shares: Iterable[Share]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for share in shares:
        counts[share.tool] += share.count
    return dict(counts)


def _labelled(cases: Mapping[str, Sequence[Case]], shares: Iterable[Share]) -> list[tuple[Case, str]]:
    left = {tool: iter(drawn) for tool, drawn in cases.items()}
    return [(next(left[share.tool]), share.cause) for share in shares for _ in range(share.count)]


def _main_causes(shares: Sequence[Share], wanted: Mapping[str, int]) -> list[Share]:
    main = {tool: Share(tool, NO_CAUSE, 0) for tool in wanted}
    for share in shares:
        main[share.tool] = max(main[share.tool], share, key=lambda known: known.count)
    return [Share(tool, main[tool].cause, count) for tool, count in wanted.items()]


def _rows(
    profile: Profile, order: DatasetOrder, labelled: list[tuple[Case, str]], split: Split
) -> Iterable[dict[str, object]]:
    random.Random(f"{order.seed}/{split}").shuffle(labelled)
    for case, cause in labelled:
        yield {
            "example_id": case.case_id,
            "split": split,
            "cause": cause,
            "tool": case.tool,
            "profile_id": profile.id,
            "messages": profile.example(case, order.prompt_size)["messages"],
            "case": case_to_document(case),
        }
