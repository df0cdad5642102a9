"""Waiting for others without falling silent and without giving up at the first outage."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from services.chassis.errors import (
    Busy,
    DeadlineExceeded,
    NotFound,
    ResourceExhausted,
    ServiceError,
    TooLarge,
    Unavailable,
)
from services.chassis.waiting import Places, keep_going, patiently, waits_told, with_heartbeat


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


async def test_a_call_is_repeated_while_its_peer_is_away_slow_or_full_and_the_wait_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.chassis.waiting._FIRST_PAUSE_SECONDS", 0.001)
    outages = [Unavailable("It is away."), DeadlineExceeded("It is slow."), ResourceExhausted("It is full.")]
    sentences: list[tuple[str, bool]] = []

    async def call() -> str:
        if outages:
            raise outages.pop(0)
        return "here"

    async def tell(sentence: str, is_waiting: bool) -> None:
        sentences.append((sentence, is_waiting))

    with waits_told(tell):
        assert await patiently(call, "the registry") == await patiently(call, "the registry") == "here"
    told = [(f"Waiting for the registry: It is {state}.", True) for state in ("away", "slow", "full")]
    assert sentences == [*told, ("Back: the registry answers again.", False)]


@pytest.mark.parametrize("error", [NotFound("There is none."), TooLarge("It takes 5 bytes of 4.")])
async def test_what_no_wait_would_mend_is_not_waited_out(error: ServiceError) -> None:
    calls: list[None] = []

    async def refuse() -> None:
        calls.append(None)
        raise error

    with pytest.raises(type(error)):
        await patiently(refuse, "the registry")
    assert len(calls) == 1


async def test_patience_may_have_an_end() -> None:
    async def away() -> None:
        raise Unavailable("It is away.")

    with pytest.raises(Unavailable):
        await patiently(away, "the registry", seconds=0.0)


async def test_endless_work_begins_again_after_an_error_and_ends_with_the_last_of_many() -> None:
    errors = iter([KeyError("first"), KeyError("second"), KeyError("last")])

    async def work() -> None:
        raise next(errors)

    with pytest.raises(KeyError, match="last"):
        await keep_going("work", work, max_failures=3, pause_seconds=0.001)


async def test_so_much_goes_on_so_much_waits_and_the_rest_is_refused_until_a_place_is_free() -> None:
    places, going_on, free = Places("uploads", num_running=1, num_waiting=1), [], asyncio.Event()

    async def work(name: str) -> None:
        async with places.place():
            going_on.append(name)
            await free.wait()

    tasks = [asyncio.create_task(work(name)) for name in ("first", "second")]
    await asyncio.sleep(0)
    with pytest.raises(Busy, match="2 uploads are at work or waiting"):
        await work("third")
    tasks[1].cancel()
    await asyncio.gather(*tasks[1:], return_exceptions=True)
    tasks[1] = asyncio.create_task(work("fourth"))
    await asyncio.sleep(0)
    assert going_on == ["first"]
    free.set()
    await asyncio.gather(*tasks)
    assert going_on == ["first", "fourth"]
