"""Waiting for others without falling silent and without giving up at the first outage."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from enum import Enum
from typing import Any, TypeVar

import structlog
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_before_delay,
    stop_never,
    wait_random_exponential,
)

from services.chassis.channel import longer_deadlines
from services.chassis.errors import Busy, DeadlineExceeded, ResourceExhausted, ServiceError, TooLarge, Unavailable

T = TypeVar("T")
# Takes a sentence, and whether the wait goes on.
Tell = Callable[[str, bool], Awaitable[None]]

_FIRST_PAUSE_SECONDS = 0.2
_LAST_PAUSE_SECONDS = 5.0
# Of 30 s it makes an hour: a peer that needs longer for one call is beyond help.
_LONGEST_DEADLINE_FACTOR = 128.0
# Work that went on for so long before it broke has not been broken from the start.
_STEADY_SECONDS = 60.0
_log = structlog.get_logger()
_tell: ContextVar[Tell | None] = ContextVar("tell", default=None)


class _End(Enum):
    END = "the stream has ended"


@contextmanager
def waits_told(tell: Tell) -> Iterator[None]:
    """Let every wait of this block, and of the tasks that it starts, be told: that it waits, for what, and its end."""
    token = _tell.set(tell)
    try:
        yield
    finally:
        _tell.reset(token)


def is_outage(error: BaseException) -> bool:
    """Whether the same call may work later: its peer is away, too slow, or has no room now."""
    return isinstance(error, Unavailable | DeadlineExceeded | ResourceExhausted) and not isinstance(error, TooLarge)


async def with_heartbeat(stream: AsyncGenerator[T], seconds: float) -> AsyncGenerator[T | None]:
    """Yield what `stream` yields, and None whenever `seconds` pass without anything; closes `stream` at the end."""
    pending: asyncio.Task[T] | None = None
    try:
        while True:
            pending = pending or asyncio.create_task(_next(stream))
            done, _ = await asyncio.wait((pending,), timeout=seconds)
            if not done:
                yield None
                continue
            finished, pending = pending, None
            try:
                item = finished.result()
            except _StreamEndError:
                return
            yield item
    finally:
        if pending is not None:
            pending.cancel()
            await asyncio.wait((pending,))
        await stream.aclose()


class Places:
    """So much work goes on at once, so much more waits for that, and the rest is refused."""

    def __init__(self, work: str, *, num_running: int, num_waiting: int) -> None:
        """`work` says what it is, in the plural, such as "diagnoses"."""
        self._work = work
        self._running = asyncio.Semaphore(num_running)
        self._limit = num_running + num_waiting
        self._num_held = 0

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Wait for a place and hold it for the length of the block.

        Raises:
            Busy: As much as is allowed goes on or waits.
        """
        if self._num_held >= self._limit:
            raise Busy(f"{self._num_held} {self._work} are at work or waiting, which is the limit.")
        self._num_held += 1
        try:
            async with self._running:
                yield
        finally:
            self._num_held -= 1


async def patiently(call: Callable[[], Awaitable[T]], peer: str, *, seconds: float | None = None) -> T:
    """Return what `call` returns, calling it again for as long as its peer is away, too slow or full.

    The one rule for every hand-over between services: a job waits until its own limit, a cancel or the end of its lease
    ends the wait. Only for calls that are safe to repeat, since they read or carry a request id.

    Args:
        call: Makes the call; each time that the answer came too late, the next call has twice the time.
        peer: Who is called, such as "the registry".
        seconds: How long to wait at most; as long as the caller may when None.

    Raises:
        Unavailable: The peer stayed away for `seconds`; likewise the other errors of an outage.
    """
    factor = 1.0

    async def attempt() -> T:
        nonlocal factor
        try:
            with longer_deadlines(factor):
                return await call()
        except DeadlineExceeded:
            factor = min(2 * factor, _LONGEST_DEADLINE_FACTOR)
            raise

    async def tell(state: RetryCallState) -> None:
        await _say(f"Waiting for {peer}: {getattr(state.outcome and state.outcome.exception(), 'problem', '')}", True)

    retrying = AsyncRetrying(
        retry=retry_if_exception(is_outage),
        stop=stop_never if seconds is None else stop_before_delay(seconds),
        # Spread, so that the jobs of a service don't all knock at once when the peer is back.
        wait=wait_random_exponential(multiplier=_FIRST_PAUSE_SECONDS, max=_LAST_PAUSE_SECONDS),
        before_sleep=tell,
        reraise=True,
    )
    result: T = await retrying(attempt)
    if retrying.statistics["attempt_number"] > 1:
        await _say(f"Back: {peer} answers again.", False)
    return result


async def listed(rpc: Callable[[Any], Awaitable[Any]], request: Any, peer: str = "") -> AsyncIterator[Any]:
    """Yield the entries of all pages of a list: what is in the first field of each response.

    Args:
        rpc: Answers with the page of a request, such as a stub's `ListModels`.
        request: Of the first page; its page token changes.
        peer: Who is called `patiently`; empty for a call that does not wait.
    """
    while True:
        page = await (patiently(lambda: rpc(request), peer) if peer else rpc(request))
        for entry in getattr(page, page.DESCRIPTOR.fields[0].name):
            yield entry
        request.page_token = page.next_page_token
        if not request.page_token:
            return


async def follow(
    open_stream: Callable[[int], AsyncIterator[T]],
    sequence_of: Callable[[T], int],
    *,
    peer: str,
    after_sequence: int = 0,
    seconds: float | None = None,
) -> AsyncGenerator[T]:
    """Yield every event of a watch stream once, in order, over any number of lost connections.

    Args:
        open_stream: Opens the stream after a sequence, such as
            `lambda after: stub.WatchTestRun(WatchTestRunRequest(job_id=…, after_sequence=after))`.
        sequence_of: The sequence of an event.
        peer: Whose stream it is, as in `patiently`.
        after_sequence: The last event that is already known.
        seconds: How long the peer may be away, as in `patiently`.

    Raises:
        Unavailable: The peer stayed away longer than `seconds`.
    """

    async def begin() -> tuple[AsyncIterator[T], T | _End]:
        stream = open_stream(after_sequence)
        return stream, await anext(stream, _End.END)

    while True:
        stream, event = await patiently(begin, peer, seconds=seconds)
        while not isinstance(event, _End):
            after_sequence = sequence_of(event)
            yield event
            try:
                event = await anext(stream, _End.END)
            except ServiceError as error:
                if not is_outage(error):
                    raise
                break
        else:
            return


async def _say(sentence: str, is_waiting: bool) -> None:
    tell = _tell.get()
    if tell is not None:
        await tell(sentence, is_waiting)


class _StreamEndError(Exception):
    """A task cannot end with StopAsyncIteration."""


async def _next(stream: AsyncGenerator[T]) -> T:
    try:
        return await anext(stream)
    except StopAsyncIteration:
        raise _StreamEndError from None


async def keep_going(
    name: str, work: Callable[[], Awaitable[None]], *, max_failures: int = 5, pause_seconds: float = 1.0
) -> None:
    """Do endless work, and begin it again when an error ends it, after pauses that double.

    Raises:
        Exception: What ended the work for the `max_failures`th time in a row, each within a minute of its beginning.
    """
    num_failures = 0
    while True:
        start = time.monotonic()
        try:
            await work()
        except Exception as error:
            num_failures = 1 if time.monotonic() - start > _STEADY_SECONDS else num_failures + 1
            _log.error("task_broke", task=name, num_failures=num_failures, exc_info=error)
            if num_failures >= max_failures:
                raise
            await asyncio.sleep(pause_seconds * 2 ** (num_failures - 1))
