"""Files of prompts with answers: JSONL, or CSV with a header, as cases of the profile `text`."""

from __future__ import annotations

import csv
import json
from codecs import BOM_UTF8
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from services.protocols.cases import Case, Expected, Scoring, case_to_document
from services.registry.domain.jsonl import MAX_LINE_BYTES, OTHER_UNICODE, Line, LineError, is_other_unicode, scan_lines
from services.registry.domain.suite_source import Conversion, Rows

_PROMPTS = ("prompt", "input", "question")
_ANSWERS = ("answer", "answers", "target", "targets", "output", "ideal")
_IDS = ("case_id", "id")
_ROLES = ("system", "user", "assistant")
_TOOL = "text"


def read_prompts(content: Path, conversion: Conversion, answers: Path | None) -> Rows:
    """Yield a case per line; a file that does not begin with `{` is read as CSV."""
    with content.open("rb") as stream:
        is_csv = not stream.read(4096).removeprefix(BOM_UTF8).lstrip().startswith(b"{")
        stream.seek(0)
        for number, row in _csv_rows(content) if is_csv else scan_lines(stream):
            yield number, row if isinstance(row, LineError) else _converted(number, row.document, conversion)


def _csv_rows(content: Path) -> Rows:
    with content.open("rb") as stream:
        if is_other_unicode(stream.read(4)):
            yield 1, LineError(OTHER_UNICODE)
            return
    with content.open(encoding="utf-8-sig", newline="") as text:
        reader = csv.DictReader(text, strict=True)
        try:
            for row in reader:
                if None in row or None in row.values():
                    yield reader.line_num, LineError("has not as many fields as the header")
                else:
                    named = {name: value for name, value in row.items() if value}
                    yield reader.line_num, Line(reader.line_num, "", named)
        except UnicodeDecodeError as error:
            yield reader.line_num + 1, LineError(f"or one soon after it is not UTF-8: {error.reason}")
        except csv.Error as error:
            yield reader.line_num, LineError(f"is not CSV: {error}")


def _converted(number: int, row: Mapping[str, Any], conversion: Conversion) -> Line | LineError:
    try:
        document = case_to_document(_case(number, row, conversion))
    except LineError as fault:
        return fault
    text = json.dumps(document, ensure_ascii=False)
    if len(text.encode()) > MAX_LINE_BYTES:
        return LineError(f"becomes a case of more than {MAX_LINE_BYTES} bytes")
    return Line(number, text, document)


def _case(number: int, row: Mapping[str, Any], conversion: Conversion) -> Case:
    *before, task = _messages(row)
    targets = _targets(row, conversion)
    scoring = Scoring(_text(row, "scorer") or conversion.scorer, targets, conversion.threshold)
    return Case(
        case_id=str(next((row[name] for name in _IDS if name in row), f"line-{number}")),
        category=_text(row, "category") or "prompts",
        tool=_TOOL,
        mode="",
        task=task[1],
        expected=Expected(_TOOL, no_call=True),
        template=task[1],
        reference=targets[0] if targets else "",
        prompt=tuple(before),
        scoring=scoring,
    )


def _messages(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    name = _one_of(row, _PROMPTS, "prompt")
    if system := _text(row, "system"):
        yield "system", system
    messages = row[name]
    if isinstance(messages, str):
        yield "user", messages
        return
    if not isinstance(messages, list) or not messages:
        raise LineError(f"has a {name} that is neither text nor a list of messages")
    for message in messages:
        if not isinstance(message, dict) or message.get("role") not in _ROLES:
            raise LineError(f"has a {name} with a message of no role that is known ({', '.join(_ROLES)})")
        yield message["role"], _text(message, "content")
    if messages[-1]["role"] != "user":
        raise LineError(f"has a {name} that does not end with the user")


def _targets(row: Mapping[str, Any], conversion: Conversion) -> tuple[str, ...]:
    if (_text(row, "scorer") or conversion.scorer) == "none" and not any(name in row for name in _ANSWERS):
        return ()
    name = _one_of(row, _ANSWERS, "answer")
    targets = row[name] if isinstance(row[name], list) else [row[name]]
    if not targets or not all(
        isinstance(target, str | int | float) and not isinstance(target, bool) for target in targets
    ):
        raise LineError(f"has a {name} that is neither text nor a list of texts")
    if not any(str(target).strip() for target in targets):
        raise LineError(f"has a {name} that is blank, as no answer that counts is")
    return tuple(map(str, targets))


def _one_of(row: Mapping[str, Any], names: tuple[str, ...], what: str) -> str:
    there = [name for name in names if name in row]
    if len(there) != 1:
        problem = f"has {' and '.join(there)}" if there else f"has no {what}"
        raise LineError(f"{problem}; one of {', '.join(names)} is needed")
    return there[0]


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name, "")
    if not isinstance(value, str):
        raise LineError(f"has a {name} that is not text")
    return value
