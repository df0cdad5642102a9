"""Shows how long work comes along: one live line on a terminal, plain lines elsewhere, never silent for long."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TextIO

from ui.cli.connection import GatewayError
from ui.shared.jobs import FINAL_STATES
from ui.shared.words import phase_text

_POLL_SECONDS = 1.0
_AWAY_SECONDS = 60.0
_QUIET_SECONDS = 3.0
_LINE_SECONDS = 2.0


@dataclass(frozen=True)
class Progress:
    """How far something has come; `fraction` is None while the total is not known."""

    text: str
    fraction: float | None
    is_final: bool


class Display(Protocol):
    """Where progress is shown."""

    def show(self, title: str, progress: Progress) -> None:
        """Show how far `title` has come."""

    def say(self, line: str) -> None:
        """Print a line that stays."""


@contextmanager
def display(*, as_json: bool = False) -> Iterator[Display]:
    """Yield a live display on a terminal and one of plain lines elsewhere; with JSON it is on stderr."""
    out = sys.stderr if as_json else sys.stdout
    with _live_line(out) if out.isatty() else _beating_lines(out) as chosen:
        yield chosen


@contextmanager
def _live_line(out: TextIO) -> Iterator[Display]:
    live = LiveLine(out)
    try:
        yield live
    finally:
        live.close()


@contextmanager
def _beating_lines(out: TextIO) -> Iterator[Display]:
    lines, end = PlainLines(out), threading.Event()

    def beat() -> None:
        while not end.wait(_POLL_SECONDS):
            lines.beat()

    # A thread of its own, since the gateway may take its time to answer.
    thread = threading.Thread(target=beat, name="progress-beat", daemon=True)
    thread.start()
    try:
        yield lines
    finally:
        end.set()
        thread.join()


def follow(
    title: str, read: Callable[[], Progress], on: Display, *, check: Callable[[], None] = lambda: None
) -> Progress:
    """Show what `read` returns, about each second, until it is final; returns the last.

    Args:
        title: What is followed.
        read: Asks the gateway; a gateway that is away or late for less than a minute is waited for.
        on: Where to show it.
        check: Called each time; may raise to end the wait.
    """
    last_seen = time.monotonic()
    while True:
        check()
        try:
            progress = read()
            last_seen = time.monotonic()
        except GatewayError as error:
            if not error.may_pass or time.monotonic() - last_seen > _AWAY_SECONDS:
                raise
            progress = Progress(f"waiting: {error.problem}", None, False)
        on.show(title, progress)
        if progress.is_final:
            return progress
        time.sleep(_POLL_SECONDS)


def job_progress(job: dict[str, Any], note: str = "") -> Progress:
    """Return how far a job has come, from its JSON document."""
    progress = job.get("progress") or {}
    state = job["state"].removeprefix("JOB_STATE_").lower()
    done, total = int(progress.get("num_done", 0)), int(progress.get("num_total", 0))
    is_final = job["state"] in FINAL_STATES
    count = f"{done} of {total}" if total else str(done or "")
    counted = count and f"{count} {progress.get('unit', '')}"
    # What it said of its work is past once it does not work.
    phase, message = (progress.get("phase", ""), progress.get("message", "")) if state == "running" else ("", "")
    parts = (phase_text(job.get("kind", ""), str(phase)) or state, counted, note or message)
    return Progress(" · ".join(part.strip() for part in parts if part), done / total if total else None, is_final)


class PlainLines:
    """A line for each change, at most one in two seconds; `beat` adds one after three seconds of no change."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._lock = threading.Lock()
        self._latest: tuple[str, Progress] | None = None
        self._shown: tuple[str, str] = ("", "")
        self._when = time.monotonic()
        self._begin: dict[str, float] = {}

    def show(self, title: str, progress: Progress) -> None:
        """Show how far `title` has come."""
        with self._lock:
            self._latest = (title, progress)
            self._begin.setdefault(title, time.monotonic())
            is_due = self._silent() >= _LINE_SECONDS or self._shown[0] != title
            if progress.is_final or (is_due and self._shown != (title, progress.text)):
                self._print_latest()

    def say(self, line: str) -> None:
        """Print a line that stays."""
        with self._lock:
            self._print(line)

    def beat(self) -> None:
        """Tell again how far it is when nothing was told for a while; called about each second."""
        with self._lock:
            if self._latest and not self._latest[1].is_final and self._silent() >= _QUIET_SECONDS:
                self._print_latest()

    def _print_latest(self) -> None:
        assert self._latest is not None
        title, progress = self._latest
        self._print(f"  {title}: {progress.text} ({time.monotonic() - self._begin[title]:.0f} s)")
        self._shown = (title, progress.text)

    def _print(self, line: str) -> None:
        print(line, file=self._out, flush=True)
        self._when = time.monotonic()

    def _silent(self) -> float:
        return time.monotonic() - self._when


class LiveLine:
    """One line that is redrawn, with a bar and the time."""

    def __init__(self, out: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Live

        columns = (
            SpinnerColumn(),
            TextColumn("{task.fields[title]:<18}", markup=False),
            BarColumn(bar_width=28),
            TextColumn("{task.fields[text]}", markup=False),
            TimeElapsedColumn(),
        )
        self._bar = Live(*columns, console=Console(file=out, highlight=False, markup=False), transient=True)
        self._bar.start()
        self._title = ""

    def show(self, title: str, progress: Progress) -> None:
        """Show how far `title` has come."""
        if title != self._title:
            self._clear()
            self._bar.add_task(title, total=1.0, title=title, text="")
            self._title = title
        task_id = self._bar.task_ids[-1]
        total = 1.0 if progress.fraction is not None else None
        self._bar.update(task_id, total=total, completed=progress.fraction or 0.0, text=progress.text)

    def say(self, line: str) -> None:
        """Print a line that stays above the live one."""
        self._bar.console.print(line)

    def close(self) -> None:
        """Remove the live line."""
        self._clear()
        self._bar.stop()

    def _clear(self) -> None:
        for task_id in list(self._bar.task_ids):
            self._bar.remove_task(task_id)
