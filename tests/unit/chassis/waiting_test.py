"""Waiting for others without falling silent and without giving up at the first outage."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from services.chassis.errors import NotFound, Unavailable
from services.chassis.waiting import patiently, with_heartbeat


class Source:
    """Yields what the test puts in; remembers that it was closed."""

    def __init__(self) -> None:
        self.items: asyncio.Queue[int | Exception | None] = asyncio.Queue()
        self.is_closed = False

    async def stream(self) -> AsyncGenerator[int]:
        try:
            while (item := await self.items.get()) is not None:
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            self.is_closed = True


async def test_items_pass_in_order_and_the_end_is_passed_on() -> None:
    source = Source()
    for item in (1, 2, None):
        source.items.put_nowait(item)
    assert [item async for item in with_heartbeat(source.stream(), 5.0)] == [1, 2]
    assert source.is_closed


async def test_silence_is_filled_without_losing_an_item() -> None:
    source = Source()
    seen: list[int | None] = []
    async for item in with_heartbeat(source.stream(), 0.01):
        seen.append(item)
        if seen == [None, None]:
            source.items.put_nowait(7)
            source.items.put_nowait(None)
    assert [item for item in seen if item is not None] == [7]
    assert seen[:2] == [None, None]


async def test_errors_of_the_stream_reach_the_reader() -> None:
    source = Source()
    source.items.put_nowait(NotFound("There is none."))
    with pytest.raises(NotFound):
        async for _ in with_heartbeat(source.stream(), 5.0):
            pass


async def test_leaving_early_stops_the_stream_even_while_it_waits() -> None:
    source = Source()
    async with aclosing(with_heartbeat(source.stream(), 0.01)) as beats:
        async for _ in beats:
            break
    assert source.is_closed


async def test_a_cancelled_reader_stops_the_stream() -> None:
    source = Source()
    started = asyncio.Event()

    async def read() -> None:
        async with aclosing(with_heartbeat(source.stream(), 0.01)) as beats:
            async for _ in beats:
                started.set()

    reading = asyncio.create_task(read())
    await started.wait()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert source.is_closed


async def test_a_call_is_repeated_while_its_peer_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.chassis.waiting._FIRST_PAUSE_SECONDS", 0.001)
    calls: list[None] = []

    async def call() -> str:
        calls.append(None)
        if len(calls) < 3:
            raise Unavailable("It is away.")
        return "here"

    assert await patiently(call, 5.0) == "here"
    assert len(calls) == 3


async def test_patience_ends_and_other_errors_are_not_waited_out() -> None:
    calls: list[None] = []

    async def away() -> None:
        raise Unavailable("It is away.")

    async def refuse() -> None:
        calls.append(None)
        raise NotFound("There is none.")

    with pytest.raises(Unavailable):
        await patiently(away, 0.0)
    with pytest.raises(NotFound):
        await patiently(refuse, 60.0)
    assert len(calls) == 1
