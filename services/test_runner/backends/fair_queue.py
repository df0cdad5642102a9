"""Who may work next where there are fewer places than callers."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from services.chassis.errors import Busy

_RETRY_SECONDS = 10


@dataclass(frozen=True)
class QueueLimits:
    """What may wait: calls in all and of one caller, their bytes together, and for how many seconds each."""

    num_calls: int = 256
    num_calls_of_caller: int = 32
    num_bytes: int = 256 << 20
    seconds: float = 300.0


class FairQueue:
    """Gives a number of places to callers in turn, so that none waits for more than one turn of each other."""

    def __init__(self, num_places: int, limits: QueueLimits) -> None:
        self._limits = limits
        self._num_free = num_places
        self._num_waiting = 0
        self._num_bytes = 0
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    @asynccontextmanager
    async def place(self, caller: str, num_bytes: int = 0, *, is_bounded: bool) -> AsyncIterator[None]:
        """Hold a place for the length of the block, waiting for it in the turn of `caller`.

        What is not bounded waits as long as it takes, and is refused never.

        Raises:
            Busy: Too much waits already, or no place came free in time.
        """
        if self._num_free:
            self._num_free -= 1
        elif is_bounded:
            self._check_room(caller, num_bytes)
            await self._bounded_wait(caller, num_bytes)
        else:
            await self._wait(caller)
        try:
            yield
        finally:
            self._release()

    def _check_room(self, caller: str, num_bytes: int) -> None:
        limits = self._limits
        if (
            self._num_waiting >= limits.num_calls
            or self._num_bytes + num_bytes > limits.num_bytes
            or len(self._waiting.get(caller, ())) >= limits.num_calls_of_caller
        ):
            raise Busy("As many generations as may wait are waiting.", retry_after_seconds=_RETRY_SECONDS)

    async def _bounded_wait(self, caller: str, num_bytes: int) -> None:
        self._num_waiting += 1
        self._num_bytes += num_bytes
        try:
            async with asyncio.timeout(self._limits.seconds):
                await self._wait(caller)
        except TimeoutError as error:
            problem = f"The models were busy for {self._limits.seconds:.0f} s."
            raise Busy(problem, retry_after_seconds=_RETRY_SECONDS) from error
        finally:
            self._num_waiting -= 1
            self._num_bytes -= num_bytes

    async def _wait(self, caller: str) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(caller, deque()).append(turn)
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled():
                self._release()
            else:
                self._leave(caller, turn)
            raise

    def _leave(self, caller: str, turn: asyncio.Future[None]) -> None:
        turns = self._waiting[caller]
        turns.remove(turn)
        if not turns:
            del self._waiting[caller]

    def _release(self) -> None:
        for caller, turns in self._waiting.items():
            # One that was cancelled in this round of the event loop has not left yet.
            turn = next((turn for turn in turns if not turn.done()), None)
            if turn is not None:
                self._leave(caller, turn)
                if turns:
                    self._waiting.move_to_end(caller)
                turn.set_result(None)
                return
        self._num_free += 1
