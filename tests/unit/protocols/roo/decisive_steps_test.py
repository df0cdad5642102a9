"""What a loop trains on at the steps that decide a task, counted in the rows that it builds."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from functools import cache
from typing import Any

import pytest

from services.feedback.datasets.builder import DatasetOrder, build
from services.protocols.material.catalogue import SINGLE_CALL
from services.protocols.profile import get_profile
from services.protocols.roo.profile import CATALOGUE
from services.protocols.suites.dataset_row import DatasetRow
from services.trainer.training.examples import row_of_line

NUM_ROWS = 500
EACH = pytest.mark.parametrize("profile_id", ["roo_xml", "roo_native"])
TICK, COMPLETE, WORK = "update_todo_list", "attempt_completion", {"write_to_file", "apply_diff", "execute_command"}
_CALL = re.compile(r'^(?:<tool_call>\s*\{"name": ")?<?([\w-]+)', re.MULTILINE)


@cache
def rows(profile_id: str) -> tuple[DatasetRow, ...]:
    profile = get_profile(profile_id)
    suite = next(suite for suite in profile.suites() if suite.suite_id.endswith("core") and suite.version == 2)
    built = build(profile, DatasetOrder("compact", 1, NUM_ROWS, (), suite.cases))
    read = (row_of_line(line, number) for number, line in enumerate(built.content.splitlines(), 1))
    return tuple(row for row in read if row.split == "train")


def tool_of(message: Any) -> str:
    call = _CALL.match(message["content"])
    return call[1] if call else ""


@cache
def steps(profile_id: str) -> dict[str, Counter[tuple[str, str]]]:
    """By category: how often an answer of one tool (empty: none) is followed by a trained one of another."""
    found: dict[str, Counter[tuple[str, str]]] = defaultdict(Counter)
    for row in rows(profile_id):
        before = ""
        for place, message in enumerate(row.messages):
            if message["role"] == "assistant":
                tool = tool_of(message)
                found[row.category][before, tool] += place in row.trained_turns
                before = tool
    return found


def share(profile_id: str, before: set[str], tool: str, category: str = "") -> float:
    """The part of the trained answers, of a category or of all, that are of a tool and follow one of others."""
    counts = [count for name, count in steps(profile_id).items() if category in ("", name)]
    wanted = sum(one[earlier, tool] for one in counts for earlier in before)
    return wanted / sum(map(Counter.total, counts))


@EACH
def test_every_kind_of_task_that_the_pool_has_is_trained(profile_id: str) -> None:
    kinds = {
        f"{category}.{name}"
        for category, entries in CATALOGUE.for_protocol(profile_id).categories.items()
        for name, kind in entries.items()
        if category not in (SINGLE_CALL, "recovery") and kind.stock != "suite"
    }
    assert len(rows(profile_id)) == NUM_ROWS
    assert kinds - {row.case["category"] for row in rows(profile_id) if row.case} == set()


@EACH
def test_lists_are_made_and_ticked_after_work_of_each_kind(profile_id: str) -> None:
    assert share(profile_id, {""}, TICK, "todo_turns") > 0.08
    for work, least in (("write_to_file", 0.15), ("apply_diff", 0.08), ("execute_command", 0.005)):
        assert share(profile_id, {work}, TICK, "todo_turns") > least, work
    after_edits = sum((one for one in steps(profile_id).values()), Counter())
    following = {tool: count for (before, tool), count in after_edits.items() if before == "apply_diff"}
    assert following[TICK] > 0.3 * sum(following.values())


@EACH
def test_a_list_leads_to_work_and_to_the_end(profile_id: str) -> None:
    onward = sum(share(profile_id, {TICK}, tool, "todo_turns") for tool in (*WORK, "read_file"))
    assert onward > 0.15
    assert share(profile_id, {TICK}, COMPLETE, "todo_turns") > 0.1


@EACH
def test_completions_follow_edits_files_commands_and_nothing(profile_id: str) -> None:
    for before, least in (("apply_diff", 0.08), ("write_to_file", 0.08), ("execute_command", 0.08), ("", 0.4)):
        assert share(profile_id, {before}, COMPLETE, "completion") > least, before


@EACH
def test_one_kind_of_task_is_asked_for_in_many_words(profile_id: str) -> None:
    templates = defaultdict(set)
    for row in rows(profile_id):
        if row.case:
            templates[row.category].add(row.case["template"])
    counts = Counter(row.category for row in rows(profile_id))
    assert {name: len(found) for name, found in templates.items() if len(found) < 0.6 * counts[name]} == {}


@EACH
def test_what_looks_alike_is_changed_with_what_tells_it_apart(profile_id: str) -> None:
    for row in rows(profile_id):
        if row.case and row.case["category"] in ("long_context.change_named", "edit_by_diff.same_named"):
            answer = json.dumps(row.messages[-1]["content"])
            old = answer.partition("-------")[2].partition("=======")[0]
            lines = [line for text in row.case["files"].values() for line in text.split("\n")]
            assert any(line and lines.count(line) == 1 and line in old for line in lines), row.example_id


@EACH
def test_edits_change_lines_of_many_shapes(profile_id: str) -> None:
    texts = [
        str(message["content"]).replace("\\n", "\n")
        for row in rows(profile_id)
        for message in row.messages
        if message.get("weight") and tool_of(message) == "apply_diff"
    ]
    lines = {line for text in texts for line in re.findall(r"-------\n(.*)\n=======", text)}
    assert len({re.sub("[A-Za-z_]+", "a", re.sub(r"\d+", "0", line)) for line in lines}) > 28
