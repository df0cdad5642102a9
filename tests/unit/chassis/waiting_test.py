"""Waiting for others without falling silent and without giving up at the first outage."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import grpc
import pytest

from services.chassis import channel, server
from services.chassis.calls import CallLimit, _until
from services.chassis.errors import (
    Busy,
    DeadlineExceeded,
    NotFound,
    ResourceExhausted,
    ServiceError,
    TooLarge,
    Unavailable,
)
from services.chassis.telemetry import Telemetry
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


# Pings, and what proxies allow, a hundred times as fast as in life.
_KEEPALIVE_MS, _IDLE_SECONDS, _SILENT_SECONDS = 300, 1.0, 2.5
_PACE = {
    "grpc.keepalive_time_ms": _KEEPALIVE_MS,
    "grpc.http2.min_ping_interval_without_data_ms": channel.LEAST_PING_INTERVAL_MS // 100,
}


class _IdleProxy:
    """Passes bytes on, and ends a connection over which none came for a while."""

    def __init__(self, port: int) -> None:
        self._port, self._num_bytes = port, 0
        self.connections: list[asyncio.Task[None] | None] = []

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.append(asyncio.current_task())
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._port)
        copies = {asyncio.create_task(self._copy(*pair)) for pair in ((reader, inner_writer), (inner_reader, writer))}
        before, ended = -1, set[asyncio.Task[None]]()
        while before != self._num_bytes and not ended:
            before = self._num_bytes
            ended, _ = await asyncio.wait(copies, timeout=_IDLE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        for end in (writer, inner_writer):
            end.transport.abort()
        await asyncio.gather(*copies, return_exceptions=True)

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while content := await reader.read(65536):
            self._num_bytes += len(content)
            writer.write(content)


@asynccontextmanager
async def _silent_stream(monkeypatch: pytest.MonkeyPatch, keepalive_ms: int) -> AsyncIterator[AsyncIterator[bytes]]:
    """Lend a watch that says something, then nothing for a time, then something again, through such a proxy."""

    async def watch(_request: bytes, _context: Any) -> AsyncIterator[bytes]:
        yield b"first"
        await asyncio.sleep(_SILENT_SECONDS)
        yield b"second"

    pace = _PACE | {"grpc.keepalive_time_ms": keepalive_ms}
    for module in (channel, server):
        monkeypatch.setattr(module, "_OPTIONS", [(name, pace.get(name, value)) for name, value in module._OPTIONS])
    behind = server.Server(Telemetry(), CallLimit(4, 2))
    methods: dict[str, Any] = {"WatchEcho": grpc.unary_stream_rpc_method_handler(watch)}

    def add(_servicer: object, inner: Any) -> None:
        inner.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", methods),))

    behind.add_servicer(add, None, "test.Echo")
    proxy = _IdleProxy(behind.bind("127.0.0.1", 0, reflection=False))
    listening = await asyncio.start_server(proxy.connected, "127.0.0.1")
    await behind.start()
    async with channel.open_channel(f"127.0.0.1:{listening.sockets[0].getsockname()[1]}") as opened:
        yield aiter(opened.unary_stream("/test.Echo/WatchEcho")(b""))
    listening.close()
    await behind.drain(0)
    # A client that came back while the server went is refused: no fault of what is tested.
    await asyncio.gather(*filter(None, proxy.connections), return_exceptions=True)


async def test_a_silent_stream_outlives_a_proxy_that_drops_what_is_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    async with _silent_stream(monkeypatch, _KEEPALIVE_MS) as events:
        assert [event async for event in events] == [b"first", b"second"]


async def test_without_pings_it_would_not(monkeypatch: pytest.MonkeyPatch) -> None:
    async with _silent_stream(monkeypatch, 60_000) as events:
        assert await anext(events) == b"first"
        with pytest.raises(Unavailable):
            await anext(events)


async def test_a_watch_that_sends_as_the_service_stops_ends_with_a_status() -> None:
    async def watch(_request: bytes, _context: Any) -> AsyncIterator[bytes]:
        yield b"first"
        await asyncio.Event().wait()

    draining = asyncio.Event()
    answers = _until(draining, watch)(b"", None)
    assert await anext(answers) == b"first"
    draining.set()
    await asyncio.sleep(0.01)
    with pytest.raises(Unavailable, match="stopping"):
        await anext(answers)
