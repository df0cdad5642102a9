"""Conformance vectors recorded from the client, run against the folder that DRILLYARD_VECTORS names."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from services.protocols.cases import McpServer
from services.protocols.roo.checklist import read_checklist
from services.protocols.roo.diff.apply import apply_diff
from services.protocols.roo.modes import find_mode, refusal
from services.protocols.roo_xml.arguments import BadNestedValue, typed_arguments
from services.protocols.roo_xml.parse import Block, TextBlock, ToolBlock, parse
from services.protocols.roo_xml.rules.acceptance import Situation, client_fault

FOLDER = os.environ.get("DRILLYARD_VECTORS", "")
NEEDS_IGNORE_FILES = "ignored_files"

pytestmark = pytest.mark.skipif(not FOLDER, reason="run with DRILLYARD_VECTORS=<folder of the recorded vectors>")


def vectors(name: str) -> list[Any]:
    lines = (Path(FOLDER) / "roo_xml" / f"{name}.jsonl").read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines if line]


def shortened(value: str) -> object:
    length = len(value.encode("utf-16-le")) // 2
    return value if length <= 20_000 else {"length": length, "sha256": hashlib.sha256(value.encode()).hexdigest()}


def block_form(block: Block) -> dict[str, object]:
    if isinstance(block, TextBlock):
        return {"type": "text", "text": shortened(block.text)}
    params = {name: shortened(value) for name, value in block.params.items()}
    return {"type": "tool", "name": block.name, "params": params, "partial": block.partial}


def answer_of(given: Any) -> str:
    return given["text"] if "text" in given else "".join(text * count for text, count in given["pieces"])


def parsed(given: Any) -> object:
    return {"blocks": [block_form(block) for block in parse(answer_of(given))]}


def typed(given: Any) -> object:
    try:
        return {"ok": True, "args": typed_arguments(given["tool"], given["params"])}
    except BadNestedValue:
        return {"ok": False, "code": "bad_xml"}


def applied(given: Any) -> object:
    outcome = apply_diff(given["original"], given["diff"], threshold=given.get("threshold", 1.0), measure=True)
    failed: list[dict[str, object]] = [{"code": one.fault} for one in outcome.failed]
    for entry, one in zip(failed, outcome.failed, strict=True):
        if one.fault == "no_match":
            entry["similarity"] = one.similarity
    ending = {"code": outcome.fault} if outcome.content is None else {"content": outcome.content}
    return {"applied": outcome.content is not None, "failed": failed, **ending}


def validated(given: Any) -> object:
    mode = find_mode(given["mode"], given.get("custom_modes", []))
    options = {"included_tools": given.get("included_tools", ()), "requirements": given.get("requirements", {})}
    code = refusal(given["tool"], mode, given["params"], **options)
    return {"allowed": False, "code": code} if code else {"allowed": True}


def listed(given: Any) -> object:
    return {"items": [list(item) for item in read_checklist(given["text"])[0]]}


OPERATIONS: dict[str, Callable[[Any], object]] = {
    "parse": parsed,
    "args": typed,
    "diff": applied,
    "validate": validated,
    "todos": listed,
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_vector_is_met(name: str) -> None:
    found = vectors(name)
    wrong = [vector["id"] for vector in found if OPERATIONS[name](vector["input"]) != vector["expected"]]
    assert found
    assert wrong == []


def test_the_client_runs_or_refuses_the_first_call_of_every_recorded_turn() -> None:
    wrong = []
    for vector in vectors("turn"):
        given, expected = vector["input"], vector["expected"]
        calls = [block for block in parse(given["text"]) if isinstance(block, ToolBlock)]
        assert bool(calls) == expected["used_tool"], vector["id"]
        if calls and vector["family"] != NEEDS_IGNORE_FILES:
            first = expected["calls"][0]
            code = None if first["verdict"] == "accepted" else first["codes"][0]
            if client_fault(calls[0].name, calls[0].params, situation(given)) != code:
                wrong.append(vector["id"])
    assert wrong == []


def situation(given: Any) -> Situation:
    servers = tuple(McpServer(server["name"], tuple(server["tools"])) for server in given.get("mcp", []))
    return Situation(
        given.get("mode", "code"),
        given.get("files", {}),
        mcp=servers,
        custom_modes=tuple(given.get("custom_modes", ())),
        model_id=given.get("model_id", "local-model"),
    )
