"""Conformance vectors recorded from the client, run against the folder that DRILLYARD_VECTORS names."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from services.protocols.roo_native.vectors import OPERATIONS

FOLDER = os.environ.get("DRILLYARD_VECTORS", "")

pytestmark = pytest.mark.skipif(not FOLDER, reason="run with DRILLYARD_VECTORS=<folder of the recorded vectors>")


def vectors(name: str) -> list[Any]:
    lines = (Path(FOLDER) / "roo_native" / f"{name}.jsonl").read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines if line]


def comparable(value: Any) -> str:
    if isinstance(value, dict) and "applied" in value:
        value = {**value, "failed": [{"code": block["code"]} for block in value["failed"]]}
    return json.dumps(value, sort_keys=True, default=dict)


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_vector_is_met(name: str) -> None:
    found = vectors(name)
    wrong = [
        vector["id"]
        for vector in found
        if comparable(OPERATIONS[name](vector["input"])) != comparable(vector["expected"])
    ]
    assert found
    assert wrong == []
