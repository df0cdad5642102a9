"""Conformance vectors recorded from the clients, run against the folders that DRILLYARD_VECTORS lists."""

import os
from pathlib import Path

import pytest

from services.protocols.profile import get_profile
from services.protocols.suites.vectors import check_vectors

FOLDERS = [Path(folder) for folder in os.environ.get("DRILLYARD_VECTORS", "").split(os.pathsep) if folder]
FILES = [file for folder in FOLDERS for file in sorted(folder.glob("*/*.jsonl"))]

pytestmark = pytest.mark.skipif(
    not FOLDERS, reason="run with DRILLYARD_VECTORS=<folders of recorded vectors, separated like those of PATH>"
)


@pytest.mark.parametrize("file", FILES, ids=lambda file: "/".join(file.parts[-3:]))
def test_every_vector_is_met(file: Path) -> None:
    report = check_vectors(file.read_bytes(), profile_id=file.parent.name, operation=file.stem)
    assert (report.unread, report.differences) == ([], [])
    assert report.num_passed


def test_the_folders_ask_for_every_operation_of_both_clients() -> None:
    assert [folder for folder in FOLDERS if not any(folder.glob("*/*.jsonl"))] == []
    asked = {(file.parent.name, file.stem) for file in FILES}
    assert asked >= {(name, one) for name in ("roo_xml", "roo_native") for one in get_profile(name).vector_operations}
