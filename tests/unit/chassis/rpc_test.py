"""Server and channel together on loopback: errors, deadlines, retries, limits, cancels, health, drain."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio
import pytest
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.chassis.calls import CallLimit
from services.chassis.channel import MAX_MESSAGE_BYTES, open_channel
from services.chassis.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    Internal,
    NotFound,
    TooLarge,
    Unavailable,
    Unimplemented,
)
from services.chassis.server import LIVENESS, Server
from services.chassis.status import from_rpc_error, to_status
from services.chassis.telemetry import Telemetry
from services.chassis.waiting import follow, patiently
from tests.machine import PATIENCE_SECONDS

SERVICE = "test.Echo"


@dataclass
class Echo:
    """Answers by the words of the request."""

    calls: int = 0
    failures: int = 0
    cut_after: list[int] = field(default_factory=list)
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    seen: list[str] = field(default_factory=list)

    async def answer(self, request: bytes, context: Any) -> bytes:
        self.calls += 1
        self.seen.append(structlog.contextvars.get_contextvars()["request_id"])
        if self.failures:
            self.failures -= 1
            raise Unavailable("The store is away.")
        if request == b"missing":
            raise NotFound("There is no model 'x'.", "List the models.", model="x")
        if request == b"large":
            return bytes(MAX_MESSAGE_BYTES + 1)
        if request == b"bug":
            raise KeyError("secret prompt")
        if request == b"slow":
            await asyncio.sleep(60)
        if request == b"steady":
            await asyncio.sleep(0.3)
        if request == b"abort":
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, "plain words")
        return request

    async def watch(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        self.calls += 1
        try:
            for n in range(int(request), 10):
                if self.cut_after and n == self.cut_after[0]:
                    self.cut_after.pop(0)
                    raise Unavailable("The connection broke.")
                yield b"%d" % (n + 1)
            if request == b"0":
                await asyncio.sleep(60)
        finally:
            self.stopped.set()


def add_echo(echo: Echo, server: Any) -> None:
    methods: dict[str, Any] = {
        "GetEcho": grpc.unary_unary_rpc_method_handler(echo.answer),
        "CreateEcho": grpc.unary_unary_rpc_method_handler(echo.answer),
        "WatchEcho": grpc.unary_stream_rpc_method_handler(echo.watch),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))


@dataclass
class Loopback:
    """A server with its echo, and a channel to it."""

    server: Server
    echo: Echo
    telemetry: Telemetry
    channel: Any
    address: str

    async def get(self, request: bytes, **options: Any) -> bytes:
        answer: bytes = await self.channel.unary_unary(f"/{SERVICE}/GetEcho")(request, **options)
        return answer

    async def create(self, request: bytes) -> bytes:
        answer: bytes = await self.channel.unary_unary(f"/{SERVICE}/CreateEcho")(request)
        return answer

    def watch(self, request: bytes) -> Any:
        return self.channel.unary_stream(f"/{SERVICE}/WatchEcho")(request)

    async def health(self, name: str) -> int:
        stub: Any = health_pb2_grpc.HealthStub(self.channel)
        return int((await stub.Check(health_pb2.HealthCheckRequest(service=name))).status)

    def ended(self, method: str, code: str) -> float | None:
        labels = {"grpc_service": SERVICE, "grpc_method": method, "code": code}
        return self.telemetry.registry.get_sample_value("drillyard_rpc_requests_total", labels)


@pytest.fixture
async def loopback() -> AsyncIterator[Loopback]:
    telemetry, echo = Telemetry(), Echo()
    server = Server(telemetry, CallLimit(4, 2))
    server.add_servicer(add_echo, echo, SERVICE)
    port = server.bind("127.0.0.1", 0, reflection=True)
    await server.start()
    await server.set_serving(True)
    channel: Any = open_channel(f"127.0.0.1:{port}", deadline_seconds=60)
    yield Loopback(server, echo, telemetry, channel, f"127.0.0.1:{port}")
    await channel.close()
    await server.drain(0)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():
            await asyncio.sleep(0.005)


async def test_an_answer_comes_back_and_is_counted(loopback: Loopback) -> None:
    assert await loopback.get(b"hello") == b"hello"
    await until(lambda: loopback.ended("GetEcho", "OK") == 1.0)


async def test_the_servers_error_is_raised_at_the_client(loopback: Loopback) -> None:
    with pytest.raises(NotFound) as caught:
        await loopback.create(b"missing")
    assert str(caught.value) == "There is no model 'x'. List the models."
    assert caught.value.fields == {"model": "x"}
    await until(lambda: loopback.ended("CreateEcho", "NOT_FOUND") == 1.0)


async def test_a_bug_shows_its_request_id_and_no_text(loopback: Loopback) -> None:
    with pytest.raises(Internal) as caught:
        await loopback.create(b"bug")
    assert caught.value.fields["request_id"] in caught.value.problem
    assert "secret" not in str(caught.value)
    await until(lambda: loopback.ended("CreateEcho", "INTERNAL") == 1.0)


async def test_a_servicers_own_abort_passes(loopback: Loopback) -> None:
    with pytest.raises(Unimplemented, match="plain words"):
        await loopback.create(b"abort")
    await until(lambda: loopback.ended("CreateEcho", "UNIMPLEMENTED") == 1.0)


async def test_a_method_that_is_not_there_is_unimplemented(loopback: Loopback) -> None:
    with pytest.raises(Unimplemented):
        await loopback.channel.unary_unary("/test.Echo/DropEcho")(b"")


async def test_the_request_id_travels_and_a_hostile_one_is_replaced(loopback: Loopback) -> None:
    with structlog.contextvars.bound_contextvars(request_id="loop-7"):
        await loopback.get(b"x")
    await loopback.get(b"x", metadata=(("x-request-id", "a b" * 50),))
    assert loopback.echo.seen[0] == "loop-7"
    assert len(loopback.echo.seen[1]) == 32


async def test_a_call_without_deadline_gets_one(loopback: Loopback) -> None:
    channel: Any = open_channel(loopback.address, deadline_seconds=0.2)
    with pytest.raises(DeadlineExceeded):
        await channel.unary_unary(f"/{SERVICE}/GetEcho")(b"slow")
    await channel.close()


async def test_a_hand_over_that_takes_longer_than_its_deadline_gets_more_time_until_it_is_done(
    loopback: Loopback,
) -> None:
    channel: Any = open_channel(loopback.address, deadline_seconds=0.2)
    create = channel.unary_unary(f"/{SERVICE}/CreateEcho")
    assert await patiently(lambda: create(b"steady"), "the echo") == b"steady"
    assert loopback.echo.calls > 1
    await channel.close()


async def test_a_given_deadline_wins(loopback: Loopback) -> None:
    with pytest.raises(DeadlineExceeded):
        await loopback.get(b"slow", timeout=0.2)


async def test_a_peer_that_swallows_everything_is_given_up_at_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody_accepts:
        channel: Any = open_channel(f"127.0.0.1:{nobody_accepts.getsockname()[1]}", deadline_seconds=0.3)
        async with asyncio.timeout(PATIENCE_SECONDS):
            with pytest.raises((DeadlineExceeded, Unavailable)):
                await channel.unary_unary(f"/{SERVICE}/CreateEcho")(b"x")
        await channel.close()


async def test_reads_are_retried_and_writes_never(loopback: Loopback) -> None:
    loopback.echo.failures = 2
    assert await loopback.get(b"x") == b"x"
    assert loopback.echo.calls == 3
    loopback.echo.failures = 1
    with pytest.raises(Unavailable, match="store is away"):
        await loopback.create(b"x")
    assert loopback.echo.calls == 4


async def test_nobody_at_the_address_is_unavailable_with_a_next_step() -> None:
    channel: Any = open_channel("127.0.0.1:1")
    with pytest.raises(Unavailable, match="address is right"):
        await channel.unary_unary(f"/{SERVICE}/CreateEcho")(b"x")
    await channel.close()


@pytest.mark.parametrize("variable", ["http_proxy", "https_proxy", "grpc_proxy"])
async def test_no_proxy_of_the_environment_is_asked(
    variable: str, loopback: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_proxy", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, "http://127.0.0.1:9")
    async with open_channel(loopback.address) as channel:
        assert await channel.unary_unary(f"/{SERVICE}/GetEcho")(b"hello") == b"hello"


async def test_a_message_over_the_limit_is_refused_and_one_at_it_passes(loopback: Loopback) -> None:
    assert len(await loopback.get(bytes(MAX_MESSAGE_BYTES))) == MAX_MESSAGE_BYTES
    with pytest.raises(TooLarge, match=r"The request takes 16777217 bytes.* Send less"):
        await loopback.get(bytes(MAX_MESSAGE_BYTES + 1))


async def test_an_answer_over_the_limit_says_to_ask_for_less(loopback: Loopback) -> None:
    with pytest.raises(TooLarge, match=r"The answer takes 16777217 bytes.* Ask for less"):
        await loopback.get(b"large")


async def test_the_kind_of_an_error_survives_another_service() -> None:
    passed_on = to_status(TooLarge("The prompts take 20 MiB together.", "Use a smaller window."))
    metadata = grpc.aio.Metadata(*passed_on.trailing_metadata)
    error = grpc.aio.AioRpcError(passed_on.code, grpc.aio.Metadata(), metadata, passed_on.message)
    assert isinstance(from_rpc_error(error), TooLarge)


async def test_leaving_a_stream_early_stops_the_servers_work(loopback: Loopback) -> None:
    async for answer in loopback.watch(b"0"):
        if answer == b"10":
            break
    await asyncio.wait_for(loopback.echo.stopped.wait(), PATIENCE_SECONDS)


async def test_cancelling_the_reader_stops_the_servers_work_whatever_it_waits_for(loopback: Loopback) -> None:
    async def read() -> None:
        async for _ in loopback.watch(b"0"):
            pass

    async def cancel_read(number: int) -> None:
        task = asyncio.create_task(read())
        await until(lambda: loopback.echo.calls == number)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await until(lambda: loopback.ended("WatchEcho", "CANCELLED") == number)

    # One in five meets the reader as its request has just been sent.
    for number in range(1, 31):
        await cancel_read(number)


async def test_an_error_within_a_stream_is_ours_too(loopback: Loopback) -> None:
    loopback.echo.cut_after = [3]
    seen = []
    with pytest.raises(Unavailable, match="connection broke"):
        async for answer in loopback.watch(b"0"):
            seen.append(answer)
    assert seen == [b"1", b"2", b"3"]


async def test_following_a_watch_neither_loses_nor_repeats_events(loopback: Loopback) -> None:
    loopback.echo.cut_after = [3, 3, 6]
    events = follow(lambda after: loopback.watch(b"%d" % after), int, peer="the echo", after_sequence=1)
    numbers = [int(event) async for event in events]
    assert numbers == list(range(2, 11))


async def test_following_gives_up_when_the_peer_stays_away() -> None:
    channel: Any = open_channel("127.0.0.1:1")

    def watch(after: int) -> AsyncIterator[bytes]:
        stream: AsyncIterator[bytes] = channel.unary_stream(f"/{SERVICE}/WatchEcho")(b"0")
        return stream

    with pytest.raises(Unavailable):
        async for _ in follow(watch, int, peer="the echo", seconds=0.3):
            pass
    await channel.close()


async def test_health_is_told_per_service_and_liveness_stays(loopback: Loopback) -> None:
    serving, not_serving = 1, 2
    assert {name: await loopback.health(name) for name in ("", SERVICE, LIVENESS)} == {
        "": serving,
        SERVICE: serving,
        LIVENESS: serving,
    }
    await loopback.server.set_serving(False)
    assert await loopback.health(SERVICE) == await loopback.health("") == not_serving
    assert await loopback.health(LIVENESS) == serving
    with pytest.raises(NotFound):
        await loopback.health("test.Other")


async def test_a_drain_lets_calls_end_and_takes_no_new_ones(loopback: Loopback) -> None:
    release = asyncio.Event()

    async def answer_late(request: bytes, context: Any) -> bytes:
        await release.wait()
        return request

    telemetry = Telemetry()
    server = Server(telemetry, CallLimit(4, 2))

    def add(_: object, inner: Any) -> None:
        methods: dict[str, Any] = {"GetEcho": grpc.unary_unary_rpc_method_handler(answer_late)}
        inner.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))

    server.add_servicer(add, None, SERVICE)
    port = server.bind("127.0.0.1", 0, reflection=False)
    await server.start()
    channel: Any = open_channel(f"127.0.0.1:{port}")
    call = asyncio.create_task(_await(channel.unary_unary(f"/{SERVICE}/GetEcho")(b"late")))
    async with asyncio.timeout(PATIENCE_SECONDS):
        labels = {"grpc_service": SERVICE, "grpc_method": "GetEcho"}
        await until(lambda: telemetry.registry.get_sample_value("drillyard_rpc_in_flight", labels) == 1.0)
        drain = asyncio.create_task(server.drain(60))
        await asyncio.sleep(0.05)
        with pytest.raises(Unavailable):
            await channel.unary_unary(f"/{SERVICE}/CreateEcho")(b"new")
        release.set()
        assert await call == b"late"
        await drain
    await channel.close()


@pytest.mark.parametrize(("method", "grace", "told"), [("WatchEcho", 60, "stopping"), ("StreamEcho", 0, "[Cc]ancel")])
async def test_a_drain_ends_a_watch_at_once_and_cuts_off_other_streams_after_its_grace(
    loopback: Loopback, method: str, grace: float, told: str
) -> None:
    async def stream(request: bytes, context: Any) -> AsyncIterator[bytes]:
        yield b"first"
        await asyncio.Event().wait()

    server = Server(Telemetry(), CallLimit(4, 2))

    def add(_: object, inner: Any) -> None:
        methods: dict[str, Any] = {method: grpc.unary_stream_rpc_method_handler(stream)}
        inner.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))

    server.add_servicer(add, None, SERVICE)
    port = server.bind("127.0.0.1", 0, reflection=False)
    await server.start()
    channel: Any = open_channel(f"127.0.0.1:{port}")
    answers = aiter(channel.unary_stream(f"/{SERVICE}/{method}")(b""))
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await anext(answers) == b"first"
        drain = asyncio.create_task(server.drain(grace))
        with pytest.raises(Unavailable, match=told):
            await anext(answers)
        await drain
    await channel.close()


async def _await(call: Any) -> bytes:
    answer: bytes = await call
    return answer


async def test_two_servers_never_share_a_port(loopback: Loopback) -> None:
    first = Server(Telemetry(), CallLimit(4, 2))
    port = first.bind("127.0.0.1", 0, reflection=False)
    with pytest.raises(FailedPrecondition, match=str(port)):
        Server(Telemetry(), CallLimit(4, 2)).bind("127.0.0.1", port, reflection=False)
    await first.start()
    await first.drain(0)


async def test_clients_ping_no_oftener_than_servers_allow() -> None:
    from services.chassis import channel

    assert channel.KEEPALIVE_MS >= channel.LEAST_PING_INTERVAL_MS * 2
