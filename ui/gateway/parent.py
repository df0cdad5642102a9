"""Ties the life of this process to that of the process that started it."""

from __future__ import annotations

import os
import select
import signal
import threading


def end_with_parent() -> None:
    """Send this process SIGTERM as soon as the process that started it is gone, however that ended."""
    parent = os.getppid()
    try:
        watched = os.pidfd_open(parent)
    except ProcessLookupError:
        _end()
        return
    # The parent may have died, and its number been given to another, before the watch began.
    if os.getppid() != parent or parent == 1:
        _end()
        return
    threading.Thread(target=_wait, args=(watched,), name="parent-watch", daemon=True).start()


def _wait(watched: int) -> None:
    select.select([watched], [], [])
    _end()


def _end() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
