"""What the end of an attempt's processes means."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import dataclass

from services.trainer.board import LiveAttempt
from services.trainer.domain.attempt import AttemptOutcome


@dataclass(frozen=True)
class Ending:
    """How an attempt ended, and why in one sentence."""

    outcome: AttemptOutcome
    reason: str = ""
    is_permanent: bool = False


def ending_of(live: LiveAttempt, processes: asyncio.Task[int]) -> Ending:
    """Return the ending that was reported, or else the one that the processes' own end tells."""
    if live.outcome is not None:
        return Ending(live.outcome, live.reason, live.is_permanent)
    error = processes.exception()
    if error is not None:
        return Ending(AttemptOutcome.FAILED, f"The training processes cannot be run: {type(error).__name__}: {error}")
    exit_code = processes.result()
    if exit_code == -signal.SIGKILL:
        return Ending(AttemptOutcome.LOST, "The training process was killed, perhaps since memory ran out.")
    if exit_code < 0:
        return Ending(AttemptOutcome.LOST, f"The training process was ended by signal {-exit_code}.")
    return Ending(
        AttemptOutcome.FAILED,
        f"The training process ended with code {exit_code} and reported no result; its log is kept in the data folder.",
    )


def stalled(seconds: float, phase: str) -> Ending:
    """Return the ending of an attempt that stood still for `seconds`."""
    return Ending(AttemptOutcome.FAILED, f"Nothing moved for {seconds:.0f} s in the phase {phase}.")
