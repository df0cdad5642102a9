"""How long the event loop is away: the processor time of its longest turn, which no other process can lengthen."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Coroutine
from typing import Any

# The product's bound on a quiet machine.
LONGEST_TURN_SECONDS = 0.05
# On a busy one a turn takes more processor time too, when another process has the same core's other half.
_MOST_TRIES = 3


class _MeasuredLoop(asyncio.SelectorEventLoop):
    longest_seconds = 0.0

    def _run_once(self) -> None:
        start = time.thread_time()
        super()._run_once()  # type: ignore[misc]
        self.longest_seconds = max(self.longest_seconds, time.thread_time() - start)


def stays_free(hold_seconds: Callable[[], float]) -> bool:
    """Whether a loop's longest hold is below the bound, in one of a few tries."""
    return any(hold_seconds() < LONGEST_TURN_SECONDS for _ in range(_MOST_TRIES))


def longest_turn(work: Coroutine[Any, Any, object]) -> float:
    """Run `work` in a loop of its own and return the seconds of the loop's longest turn."""
    gc.collect()
    # What other tests left behind is not looked through in the turns of this one, nor in any later collection.
    gc.freeze()
    with asyncio.Runner(loop_factory=_MeasuredLoop) as runner:
        runner.run(work)
        loop = runner.get_loop()
    assert isinstance(loop, _MeasuredLoop)
    return loop.longest_seconds
