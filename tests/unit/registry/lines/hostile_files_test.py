"""What is kept of the fuzzer's inputs and a few that it draws, as part of all tests; `make fuzz` reads a million."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.fuzz import edges
from tests.fuzz.edges import kept_inputs
from tests.fuzz.files import TARGETS, fuzz_file
from tests.fuzz.tally import Tally

NUM_DRAWN = 20


@pytest.mark.parametrize("target", TARGETS)
def test_a_hostile_file_is_read_or_refused(target: str, tmp_path: Path) -> None:
    tally, num_kept = Tally(tmp_path), len(list(kept_inputs(target)))
    fuzz_file(target, num_kept + NUM_DRAWN, 7, tally)
    assert tally.faults == {}
    assert tally.outcomes[target].total() == num_kept + NUM_DRAWN > NUM_DRAWN


def test_what_broke_a_reader_breaks_the_tests_once_it_is_kept_until_that_is_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(path: Path) -> Any:
        if path.read_bytes() == b"poison":
            raise KeyError("x")

    Tally(tmp_path / "found").add_fault("gguf", "KeyError: 'x'", b"poison")
    make, _, refusals = TARGETS["gguf"]
    monkeypatch.setitem(TARGETS, "gguf", (make, breaks, refusals))

    def num_broken(kept: Path) -> int:
        monkeypatch.setattr(edges, "FOLDER", kept)
        tally = Tally(tmp_path / "again")
        fuzz_file("gguf", 40, 7, tally)
        return tally.outcomes["gguf"]["broken"]

    assert (num_broken(tmp_path / "none"), num_broken(tmp_path / "found")) == (0, 1)
