"""The end of a pod: what is at work in it is asked to save, and waited for."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

from services.trainer.training.processes.ending import at_work, is_stopped, stop


def test_a_pod_that_is_taken_away_waits_for_those_that_are_at_work(tmp_path: Path) -> None:
    with at_work(tmp_path):
        assert not is_stopped(tmp_path)
        end = threading.Thread(target=stop, args=(tmp_path,))
        end.start()
        end.join(0.5)
        assert end.is_alive()
        assert is_stopped(tmp_path)
    end.join(10)
    assert not end.is_alive()


def test_a_process_that_was_killed_is_not_waited_for(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    (tmp_path / f"{ended.pid}.pid").touch()
    stop(tmp_path)
