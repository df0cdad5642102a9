"""Files appear whole or not at all."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from services.chassis.machine.files import write_atomically, written_whole
from tests.integration.processes import ROOT

# Writes over a file, and kills itself at the nth thing it asks of the filesystem.
KILLED_WRITER = """
import os, signal, sys
from pathlib import Path
from services.chassis.machine.files import write_atomically
seen, fatal = 0, int(sys.argv[2])
def count(event, arguments):
    global seen
    if event in ("open", "os.rename", "os.chmod"):
        seen += 1
        if seen == fatal:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(count)
write_atomically(Path(sys.argv[1]), "new" * 100_000)
"""


def test_a_file_has_its_old_content_until_it_has_all_of_the_new(tmp_path: Path) -> None:
    place = tmp_path / "plan.json"
    write_atomically(place, "old")
    with pytest.raises(ZeroDivisionError), written_whole(place) as out:
        out.write(b"new")
        assert place.read_text() == "old"
        raise ZeroDivisionError
    assert (place.read_text(), list(tmp_path.iterdir())) == ("old", [place])


def test_a_writer_that_is_killed_anywhere_leaves_the_old_content_or_the_new(tmp_path: Path) -> None:
    contents = set()
    for fatal in range(1, 9):
        place = tmp_path / f"plan-{fatal}.json"
        place.write_text("old")
        command = [sys.executable, "-c", KILLED_WRITER, str(place), str(fatal)]
        status = subprocess.run(command, cwd=ROOT, check=False).returncode
        contents.add((place.read_text()[:3], len(place.read_text()), status))
    assert contents == {("old", 3, -signal.SIGKILL), ("new", 300_000, -signal.SIGKILL), ("new", 300_000, 0)}
