"""Conformance vectors recorded from the client, run against the folder that DRILLYARD_VECTORS names."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from services.protocols.roo_xml.vectors import OPERATIONS

FOLDER = os.environ.get("DRILLYARD_VECTORS", "")


def vectors(name: str) -> list[Any]:
    lines = (Path(FOLDER) / "roo_xml" / f"{name}.jsonl").read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines if line]


def without_similarity(expected: Any) -> Any:
    for block in expected.get("failed", ()):
        block.pop("similarity", None)
    return expected


@pytest.mark.skipif(not FOLDER, reason="run with DRILLYARD_VECTORS=<folder of the recorded vectors>")
@pytest.mark.parametrize("name", OPERATIONS)
def test_every_vector_is_met(name: str) -> None:
    found = vectors(name)
    wrong = [
        vector["id"] for vector in found if OPERATIONS[name](vector["input"]) != without_similarity(vector["expected"])
    ]
    assert found
    assert wrong == []
