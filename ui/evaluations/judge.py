"""`drillyard judge`: what a client would make of an answer, without a run."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from ui.cli.connection import Document, Gateway, GatewayError
from ui.cli.options import Common
from ui.cli.output import EXIT_FAILED, connected, print_table, show

_BATCH = 200
# Half of what the gateway takes in one request.
_BATCH_BYTES = 32 * 1024 * 1024
_FIELDS = frozenset(
    {"profile_id", "case", "case_document", "answer", "further_answers", "messages", "finish_reason", "key"}
)
_NEEDED = {"profile_id": "profile_id", "case_document": "case", "answer": "answer"}
CaseFile = Annotated[
    Path | None, typer.Option("--case", help="A case as a JSON file, instead of --suite and --case-id.")
]
CaseId = Annotated[str, typer.Option(help="A case of --suite.")]
Answer = Annotated[str | None, typer.Option(help="One answer to judge; - for stdin.")]


def judge(
    common: Common,
    file: Annotated[
        Path | None, typer.Argument(help="JSONL, one answer a line: profile_id, case, answer or messages; - for stdin.")
    ] = None,
    answer: Answer = None,
    suite: Annotated[str, typer.Option(help="The suite of --case-id.")] = "roo_xml/core",
    case_id: CaseId = "",
    case: CaseFile = None,
) -> None:
    """Judge one answer to a case, or a file of answers; the exit status is 1 when one does not conform."""
    with connected(common) as gateway:
        if (file is None) == (answer is None):
            problem = "There is nothing to judge, or too much."
            raise GatewayError("INVALID_ARGUMENT", problem, "Give a file of answers, or one with --answer.")
        request = _lines(_text(file)) if file else [_one(gateway, answer or "", suite, case_id, case)]
        results = _judged(gateway, request)
        single = results[0] if file is None else None
        show(single or results, as_json=common.as_json, table=lambda: _print_one(single) if single else _print(results))
        if not all((result.get("verdict") or {}).get("conforming") for result in results):
            raise typer.Exit(EXIT_FAILED)


def _one(gateway: Gateway, answer: str, suite: str, case_id: str, case: Path | None) -> Document:
    profile_id = suite.partition("/")[0]
    document = _text(case) if case else _case_of(gateway, suite, case_id)
    text = _text(Path("-")) if answer == "-" else answer
    return {"profile_id": profile_id, "case_document": document, "answer": text, "key": case_id or str(case)}


def _case_of(gateway: Gateway, suite: str, case_id: str) -> str:
    if not case_id:
        raise GatewayError("INVALID_ARGUMENT", "The case is not named.", "Name it with --case-id or --case FILE.")
    version = gateway.get(f"/test-suites/{suite}")["test_suite_version"]["test_suite_version_id"]
    for test_case in gateway.every(f"/test-suites/{version}/cases", "test_cases", limit=100_000):
        if test_case["case_id"] == case_id:
            return str(test_case["document"])
    next_step = f"`drillyard test-suites show {suite}` lists them."
    raise GatewayError("NOT_FOUND", f"There is no case {case_id!r} in {version}.", next_step)


def _lines(text: str) -> list[Document]:
    return [_request(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]


def _request(number: int, line: str) -> Document:
    try:
        result: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise GatewayError("INVALID_ARGUMENT", f"Line {number} is no JSON: {error}.", "Correct it.") from None
    if not isinstance(result, dict) or set(result) - _FIELDS:
        names = ", ".join(sorted(_FIELDS))
        raise GatewayError("INVALID_ARGUMENT", f"Line {number} is no answer to judge.", f"It may have: {names}.")
    case = result.pop("case", None)
    document = {"case_document": json.dumps(case)} if case is not None else {}
    request = {"key": f"line {number}", **document, **result}
    if request.get("messages"):
        request = {"answer": "", **request, "messages": _messages(number, request["messages"])}
    if missing := [name for name in _NEEDED if not isinstance(request.get(name), str)]:
        problem = f"Line {number} has no {_NEEDED[missing[0]]}, or not as text."
        raise GatewayError("INVALID_ARGUMENT", problem, f"Each line needs {', '.join(_NEEDED.values())}.")
    return request


def _messages(number: int, messages: Any) -> list[Document]:
    """Return messages in OpenAI's form as the gateway takes them."""
    # Only lines with messages need it, and it takes a while to load.
    from ui.openai.schemas import MessageBody

    try:
        bodies = [MessageBody.model_validate(message) for message in messages]
    except (ValidationError, TypeError) as error:
        problem = f"Line {number} has messages that are not OpenAI's: {error}"
        raise GatewayError("INVALID_ARGUMENT", problem, "Correct them.") from None
    return [
        {
            "role": body.role,
            "content": body.text,
            "tool_calls": [
                {"tool_call_id": call.id, "name": call.function.name, "arguments": call.function.arguments}
                for call in body.tool_calls or ()
            ],
        }
        for body in bodies
    ]


def _judged(gateway: Gateway, documents: list[Document]) -> list[Document]:
    result: list[Document] = []
    for batch in _batches(documents):
        result += gateway.post("/verdicts/judge-batch", {"requests": batch})["results"]
    return result


def _batches(documents: list[Document]) -> Iterator[list[Document]]:
    batch: list[Document] = []
    num_bytes = 0
    for document in documents:
        size = len(json.dumps(document))
        if batch and (len(batch) == _BATCH or num_bytes + size > _BATCH_BYTES):
            yield batch
            batch, num_bytes = [], 0
        batch.append(document)
        num_bytes += size
    if batch:
        yield batch


def _print_one(document: Document) -> None:
    verdict = document.get("verdict")
    if not verdict:
        print(document["problem"])
        return
    print(f"{_outcome(document)}. {verdict['sentence']}".rstrip())
    rows = [
        (layer["name"].replace("_", " "), layer["status"].removeprefix("LAYER_STATUS_").lower(), layer["detail"])
        for layer in verdict["layers"]
    ]
    print_table("", ("layer", "status", "found"), rows, empty="")
    scores = verdict["scores"]
    if scores:
        print_table("", ("score", "value"), [(name, f"{scores[name]:.3f}") for name in sorted(scores)], empty="")


def _print(results: list[Document]) -> None:
    rows = [
        (result["key"], _outcome(result), (result.get("verdict") or {}).get("sentence") or result["problem"])
        for result in results
    ]
    print_table("Verdicts", ("answer", "verdict", "why"), rows, empty="The file holds no answer.")


def _outcome(document: Document) -> str:
    verdict = document.get("verdict")
    if not verdict:
        return "not judged"
    return "conforms" if verdict["conforming"] else str(verdict["cause"])


def _text(path: Path) -> str:
    try:
        # A Windows shell puts a byte order mark before what it pipes.
        return sys.stdin.read().removeprefix("\ufeff") if str(path) == "-" else path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8, but perhaps UTF-16"
        problem = f"{path} cannot be read: {reason}."
        raise GatewayError("INVALID_ARGUMENT", problem, "Name a readable file of text.") from None
