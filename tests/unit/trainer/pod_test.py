"""The end of a pod: what is at work in it is asked to save, and waited for."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Set
from pathlib import Path

from services.trainer.training.processes.ending import ask_to_stop, at_work, is_stopped, pass_on_stop, stop
from tests.machine import PATIENCE_SECONDS


def test_a_pod_that_is_taken_away_waits_for_those_that_are_at_work(tmp_path: Path) -> None:
    with at_work(tmp_path):
        assert not is_stopped(tmp_path)
        end = threading.Thread(target=stop, args=(tmp_path,))
        end.start()
        end.join(0.5)
        assert end.is_alive()
        assert is_stopped(tmp_path)
    end.join(PATIENCE_SECONDS)
    assert not end.is_alive()


def test_a_process_that_was_killed_is_not_waited_for(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    (tmp_path / f"{ended.pid}.pid").touch()
    stop(tmp_path)


def test_a_head_that_is_taken_away_asks_each_pod_once_also_one_that_comes_late(tmp_path: Path) -> None:
    pods, asked = {"0"}, list[Set[str]]()

    def ask_pods(told: Set[str]) -> Set[str]:
        asked.append(pods - told)
        pods.add("1")
        return asked[-1]

    looks = iter([False, True, False, False, False, True])
    pass_on_stop(tmp_path, lambda: next(looks), ask_pods)
    assert asked == []
    ask_to_stop(tmp_path)
    pass_on_stop(tmp_path, lambda: next(looks), ask_pods)
    assert asked == [{"0"}, {"1"}, set()]
