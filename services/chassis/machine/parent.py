"""Ties the life of this process to that of the process that started it."""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
import threading

_PR_SET_PDEATHSIG = 1


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


def die_with_parent(parent_pid: int) -> None:
    """Let the kernel kill this process when `parent_pid`, which started it, ends; exit now if that has happened."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # The parent may have died before the signal was asked for.
    if os.getppid() != parent_pid or parent_pid == 1:
        sys.exit("The process that started this one has ended.")


def _wait(watched: int) -> None:
    select.select([watched], [], [])
    _end()


def _end() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
