"""Files in the form of the Berkeley Function-Calling Leaderboard as cases of the profile `openai_tools`.

Each line is {"id", "question", "function"}; the possible answers are in a file of their own, {"id", "ground_truth"},
unless the line itself holds its `ground_truth`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from services.protocols.cases import Case, Expected, case_to_document
from services.protocols.openai_tools.parse import written_call
from services.protocols.openai_tools.tools import NO_CALL
from services.registry.domain.jsonl import Line, LineError, read_lines, scan_lines
from services.registry.domain.suite_source import Conversion, Rows
from services.registry.importers.suites.bfcl_answers import calls_of
from services.registry.importers.suites.bfcl_schemas import tool_of

_CATEGORY = re.compile(r"(.+?)_[0-9][0-9-]*")
_IRRELEVANT = "irrelevance"
_NO_CALL_ANSWER = "None of the functions does that."


def read_bfcl(content: Path, conversion: Conversion, answers: Path | None) -> Rows:
    """Yield a case per line, or what keeps it from becoming one.

    Raises:
        InvalidArgument: a line of the answers cannot be read.
    """
    truths = _truths(answers) if answers else {}
    with content.open("rb") as stream:
        for number, row in scan_lines(stream):
            yield number, row if isinstance(row, LineError) else _converted(row, truths)


def _truths(answers: Path) -> dict[str, Mapping[str, Any]]:
    with answers.open("rb") as stream:
        return {str(line.document.get("id")): line.document for line in read_lines(stream)}


def _converted(line: Line, truths: Mapping[str, Mapping[str, Any]]) -> Line | LineError:
    try:
        case = _case(line.document, truths)
        document = case_to_document(case)
    except LineError as fault:
        return fault
    return Line(line.number, json.dumps(document, ensure_ascii=False), document)


def _case(row: Mapping[str, Any], truths: Mapping[str, Mapping[str, Any]]) -> Case:
    case_id, functions = row.get("id"), row.get("function")
    task = _task(row["question"]) if "question" in row else ""
    if not task or not isinstance(case_id, str) or not isinstance(functions, list):
        raise LineError("is no task: id, question and function are needed")
    category = _category(case_id)
    if not functions and not category.endswith(_IRRELEVANT):
        raise LineError("is no task: function is empty")
    tools = tuple(tool_of(function, place) for place, function in enumerate(functions))
    due = _due(case_id, category, row if "ground_truth" in row else truths.get(case_id), tools)
    expected = Expected(due[0].tool, due[0].arguments, choices=due[0].choices, further=tuple(due[1:])) if due else None
    written = "\n".join(written_call(call.tool, dict(call.arguments)) for call in due)
    return Case(
        case_id=case_id,
        category=category,
        tool=due[0].tool if due else NO_CALL,
        mode="",
        task=task,
        expected=expected or Expected(NO_CALL, no_call=True),
        template=task,
        reference=written or _NO_CALL_ANSWER,
        tools=tools,
    )


def _category(case_id: str) -> str:
    match = _CATEGORY.fullmatch(case_id)
    return match[1] if match else "bfcl"


def _due(
    case_id: str, category: str, truth: Mapping[str, Any] | None, tools: tuple[Mapping[str, Any], ...]
) -> list[Expected]:
    if truth is not None:
        schemas = {tool["function"]["name"]: tool["function"]["parameters"] for tool in tools}
        return calls_of(truth.get("ground_truth"), schemas)
    if category.endswith(_IRRELEVANT):
        return []
    raise LineError(
        "has no possible answer: give the file of answers too; only the ids of irrelevance say that no call is due"
    )


def _task(question: object) -> str:
    """Return the text of the one turn; what a system message says stands before the user's words."""
    if isinstance(question, str):
        return question
    turns = question if isinstance(question, list) else []
    if turns and all(isinstance(message, Mapping) for message in turns):
        turns = [turns]
    if len(turns) != 1 or not isinstance(turns[0], list) or not turns[0]:
        raise LineError("asks in several turns, or in none; only tasks of one turn are read")
    texts: list[str] = []
    for message in turns[0]:
        if not isinstance(message, Mapping) or not isinstance(message.get("content"), str):
            raise LineError("has a question with a message without text")
        if message.get("role") not in ("system", "user"):
            raise LineError("has a question with answers in it; only tasks of one turn are read")
        texts.append(message["content"])
    return "\n\n".join(texts)
