"""Test suites and their cases as a person sees them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from drillyard.registry.v1.test_suite_pb2 import TestCase, TestSuiteVersion

from ui.models.views import maker


@dataclass(frozen=True)
class CaseRow:
    """One case in a list."""

    case_id: str
    category: str
    tool: str
    task: str


@dataclass(frozen=True)
class SuiteDetailView:
    """A suite version with its cases.

    Attributes:
        facts: what is known of its origin, by name; nothing that is empty.
        by_category: number of cases by kind of task, without the variety behind the dot.
        by_tool: number of cases by tool.
    """

    test_suite_version_id: str
    num_cases: int
    built_in: bool
    facts: Mapping[str, str]
    by_category: Mapping[str, int]
    by_tool: Mapping[str, int]
    cases: Sequence[CaseRow]

    def chosen(self, category: str, tool: str) -> list[CaseRow]:
        """Return the cases of a category and a tool; an empty name stands for all."""
        return [
            case for case in self.cases if category in ("", case.category.partition(".")[0]) and tool in ("", case.tool)
        ]


@dataclass(frozen=True)
class CaseView:
    """One case in full.

    Attributes:
        prompt: messages of a plain prompt, as role and text.
        files: text by path.
        expected: what a right answer holds, by name.
        history: answers that the model is told it gave before.
        reference: answers that conform, in order.
        document: the whole case, indented.
    """

    case_id: str
    category: str
    tool: str
    task: str
    max_turns: int
    prompt: Sequence[tuple[str, str]]
    files: Mapping[str, str]
    expected: Mapping[str, str]
    history: Sequence[str]
    reference: Sequence[str]
    document: str


def suite_detail_view(version: TestSuiteVersion, cases: Sequence[TestCase]) -> SuiteDetailView:
    """Return the view of a suite version."""
    provenance = version.provenance
    facts = {
        "Licence": provenance.licence,
        "Generator": provenance.generator,
        "Seed": provenance.seed,
        "Version of the client": provenance.profile_version,
        "Source": provenance.source,
        "Imported from": version.imported_from,
        "Made by": "the product" if version.built_in else maker(version.produced_by),
        "Digest": version.artifact.digest,
    }
    rows = [CaseRow(case.case_id, case.category, case.tool, _task(case)) for case in cases]
    return SuiteDetailView(
        test_suite_version_id=version.test_suite_version_id,
        num_cases=version.num_cases,
        built_in=version.built_in,
        facts={name: value for name, value in facts.items() if value},
        by_category=dict(Counter(row.category.partition(".")[0] for row in rows)),
        by_tool=dict(Counter(row.tool for row in rows).most_common()),
        cases=rows,
    )


def case_view(case: TestCase) -> CaseView:
    """Return the view of a case."""
    document = json.loads(case.document)
    answers = [_written(answer) for answer in document.get("solution", [])] or [str(document.get("reference", ""))]
    return CaseView(
        case_id=case.case_id,
        category=case.category,
        tool=case.tool,
        task=str(document.get("task", "")),
        max_turns=int(document.get("max_turns") or 1),
        prompt=[(str(item.get("role", "")), str(item.get("content", ""))) for item in document.get("prompt", [])],
        files={str(path): str(text) for path, text in document.get("files", {}).items()},
        expected=_expected(document),
        history=[_written(answer) for answer in document.get("history", [])],
        reference=[answer for answer in answers if answer],
        document=json.dumps(document, indent=2, ensure_ascii=False),
    )


def _expected(document: Mapping[str, Any]) -> Mapping[str, str]:
    expected = document.get("expected", {})
    facts = {
        "tool": expected.get("tool"),
        "no call": "right" if expected.get("no_call") else "",
        **{f"argument {name}": value for name, value in expected.get("arguments", {}).items()},
        **{f"file {path} afterwards": text for path, text in expected.get("files", {}).items()},
        "further calls": expected.get("further"),
        "free text": expected.get("free_text"),
        "choices": expected.get("choices"),
        **{f"goal: {name}": value for name, value in document.get("goal", {}).items()},
        "scored by": document.get("scoring"),
    }
    return {name: _plain(value) for name, value in facts.items() if value not in (None, "", [], {})}


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _written(answer: Mapping[str, object]) -> str:
    calls = answer.get("calls")
    beside = [json.dumps(call, ensure_ascii=False) for call in calls] if isinstance(calls, list) else []
    return "\n".join([text for text in (str(answer.get("text", "")),) if text] + beside)


def _task(case: TestCase) -> str:
    return str(json.loads(case.document).get("task", ""))
