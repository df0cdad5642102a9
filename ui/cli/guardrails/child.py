"""The process that runs lm-eval, seen from the command line: bounded in time, never left behind."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, cast

from ui.cli.connection import Document, GatewayError
from ui.cli.follow import Progress
from ui.cli.guardrails.tasks import OWN_TASKS

_STOP_SECONDS = 5.0


class Child:
    """lm-eval at work.

    Args:
        process: The process.
        said: What it writes to stderr.
        timeout_seconds: When it is ended.
    """

    def __init__(self, process: subprocess.Popen[str], said: IO[str], timeout_seconds: float) -> None:
        self._process = process
        self._said = said
        self._end = time.monotonic() + timeout_seconds
        self._timeout_seconds = timeout_seconds
        self._progress: Document = {}
        self._ended: Document = {}
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def progress(self) -> Progress:
        """Return how far it is."""
        is_final = not self._reader.is_alive()
        done, total = self._progress.get("num_done", 0), self._progress.get("num_total", 0)
        text = f"{done} of {total} requests" if total else "loading the tasks"
        return Progress(text, done / total if total else None, is_final)

    def refuse_late(self) -> None:
        """Return while it has time.

        Raises:
            GatewayError: The time is over.
        """
        if time.monotonic() > self._end:
            problem = f"lm-eval had no result after {self._timeout_seconds:.0f} s."
            raise GatewayError("DEADLINE_EXCEEDED", problem, "Give it more with --timeout, or less with --limit.")

    def result(self) -> Document:
        """Return what it found.

        Raises:
            GatewayError: It found nothing; the message tells why.
        """
        self._reader.join()
        status = self._process.wait()
        if self._ended.get("event") == "result":
            return {key: value for key, value in self._ended.items() if key != "event"}
        self._said.seek(0)
        lines = [line.strip() for line in self._said.read()[-4000:].splitlines() if line.strip()]
        problem = self._ended.get("problem") or f"It ended with status {status}: {lines[-1] if lines else 'no word'}"
        raise GatewayError("FAILED_PRECONDITION", f"lm-eval failed: {problem}", "Check the tasks' names and settings.")

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            document: Document = json.loads(line)
            if document["event"] == "progress":
                self._progress = document
            else:
                self._ended = document


@contextmanager
def lm_eval_at_work(request: Document, timeout_seconds: float) -> Iterator[Child]:
    """Run lm-eval on `request` for as long as the block lasts.

    Raises:
        GatewayError: lm-eval is not installed.
    """
    if importlib.util.find_spec("lm_eval") is None:
        next_step = "Run `pip install 'drillyard[lm-eval]'`."
        raise GatewayError("FAILED_PRECONDITION", "lm-eval is not installed.", next_step)
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "ui.cli.guardrails"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            env=os.environ | _environment(request),
            start_new_session=True,
        )
        try:
            cast("Any", process.stdin).write(json.dumps(request))
            cast("Any", process.stdin).close()
            yield Child(process, said, timeout_seconds)
        finally:
            _end(process)


def _environment(request: Document) -> dict[str, str]:
    # Our own questions lie beside the code; nobody needs to be asked for them.
    return {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"} if set(request["tasks"]) <= OWN_TASKS else {}


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if process.stdout is not None:
        process.stdout.close()
