"""What a process has from the one that started it: an environment without secrets, and the installation's token."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.chassis.calls import CallLimit
from services.chassis.channel import open_channel
from services.chassis.errors import FailedPrecondition, Unavailable
from services.chassis.machine.caller import caller_metadata, current_caller, current_workspace, told_in
from services.chassis.machine.parent import ServiceToken, child_environment
from services.chassis.server import Server
from services.chassis.settings import ServiceSettings, load_settings
from services.chassis.telemetry import Telemetry
from tests.unit.chassis.jobs.memory_store import MemoryJobStore

SERVICE = "test.Door"
SECRETS = (
    *(
        "AWS_SECRET_ACCESS_KEY",
        "HF_TOKEN",
        "OPENAI_API_KEY",
        "DRILLYARD_API_KEY",
        "RAY_AUTH_TOKEN",
        "PGPASSWORD",
        "UV_INDEX_PRIVATE_PASSWORD",
        "OTEL_EXPORTER_OTLP_HEADERS",
        "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
        "OTEL_EXPORTER_OTLP_CLIENT_KEY",
    ),
    *("TEST_RUNNER_SECRET_LAB", "REGISTRY_DATABASE_URL", "TRAINER_TOKEN_FILE", "https_proxy", "ALL_PROXY"),
)


def test_a_child_inherits_no_secret_and_what_it_needs_to_run() -> None:
    needed = {
        "PATH": "/bin",
        "HOME": "/h",
        "LC_ALL": "C",
        "PYTHONPATH": "/p",
        "CUDA_VISIBLE_DEVICES": "0",
        "OTEL_SDK": "x",
    }
    assert child_environment(needed | dict.fromkeys(SECRETS, "canary")) == needed


async def answer(request: bytes, _context: Any) -> bytes:
    return request


async def repeat(requests: AsyncIterator[bytes], _context: Any) -> AsyncIterator[bytes]:
    async for request in requests:
        yield request


async def watch(request: bytes, _context: Any) -> AsyncIterator[bytes]:
    yield request


def add_methods(_servicer: object, server: Any) -> None:
    methods: dict[str, Any] = {
        "GetCaller": grpc.unary_unary_rpc_method_handler(name_caller),
        "GetDoor": grpc.unary_unary_rpc_method_handler(answer),
        "WatchDoor": grpc.unary_stream_rpc_method_handler(watch),
        "RepeatDoor": grpc.stream_stream_rpc_method_handler(repeat),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))


@asynccontextmanager
async def serving(token: ServiceToken) -> AsyncIterator[str]:
    server = Server(Telemetry(), CallLimit(4, 2), token)
    server.add_servicer(add_methods, None, SERVICE)
    port = server.bind("127.0.0.1", 0, reflection=True)
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.drain(0)


async def get(channel: Any) -> bytes:
    response: bytes = await channel.unary_unary(f"/{SERVICE}/GetDoor")(b"x")
    return response


async def read(channel: Any) -> bytes:
    return b"".join([part async for part in channel.unary_stream(f"/{SERVICE}/WatchDoor")(b"x")])


async def converse(channel: Any) -> bytes:
    call = channel.stream_stream(f"/{SERVICE}/RepeatDoor")(iter([b"x"]))
    try:
        return b"".join([part async for part in call])
    except grpc.aio.AioRpcError as error:
        assert error.code() is grpc.StatusCode.UNAUTHENTICATED
        raise Unavailable("The call carries no token") from None


async def ask_what_there_is(channel: Any) -> bytes:
    method = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
    call = channel.stream_stream(method)(iter([b""]))
    return b"".join([part async for part in call])


async def name_caller(_request: bytes, _context: Any) -> bytes:
    return f"{current_caller.get()} of {current_workspace.get()}".encode()


async def test_a_service_learns_the_caller_from_who_knows_the_token_alone(tmp_path: Path) -> None:
    token, other = ServiceToken.make(tmp_path / "token"), ServiceToken.make(tmp_path / "other")
    current_caller.set("oidc:Zoë")
    (entry,) = caller_metadata(token)
    assert told_in([entry], token)["caller"] == "oidc:Zoë"
    unknown = [told_in([entry], other), told_in([entry], None), told_in([], token)]
    unknown += [told_in([(entry[0], entry[1].replace("oidc", "user"))], token)]
    # What was signed as one thing is not taken for another.
    unknown += [told_in([("x-drillyard-workspace", entry[1])], token)]
    assert unknown == [{"caller": "", "workspace": "default", "used-up": ""}] * 5
    # While the token is replaced, one has the new one at the top already.
    (tmp_path / "next").write_text(f"new-token\n{(tmp_path / 'token').read_text()}")
    assert told_in([entry], ServiceToken(tmp_path / "next"))["caller"] == "oidc:Zoë"
    async with serving(token) as address, open_channel(address, token=token) as channel:
        assert await channel.unary_unary(f"/{SERVICE}/GetCaller")(b"x") == "oidc:Zoë of default".encode()
        current_workspace.set("lab")
        assert await channel.unary_unary(f"/{SERVICE}/GetCaller")(b"x") == "oidc:Zoë of lab".encode()
        current_caller.set("")
        current_workspace.set("default")
        assert await channel.unary_unary(f"/{SERVICE}/GetCaller")(b"x") == b" of default"


async def test_a_job_says_who_asked_for_each_of_its_moves() -> None:
    store = MemoryJobStore()
    current_caller.set("key:ci")
    job = await store.create("drill", "once", {})
    current_caller.set("user:ann")
    await store.request_cancel(job.job_id)
    assert [event.payload["caller"] for event in await store.events(job.job_id)] == ["key:ci", "user:ann"]
    current_caller.set("")
    other = await store.create("drill", "", {})
    assert "caller" not in (await store.events(other.job_id))[0].payload


@pytest.mark.parametrize("call", [get, read, converse])
async def test_calls_without_the_token_are_refused_and_those_with_it_let_in(
    call: Callable[[Any], Any], tmp_path: Path
) -> None:
    token, other = ServiceToken.make(tmp_path / "token"), ServiceToken.make(tmp_path / "other")
    async with serving(token) as address:
        for wrong in (None, other):
            async with open_channel(address, token=wrong) as channel:
                with pytest.raises(Unavailable, match="no token"):
                    await call(channel)
        async with open_channel(address, token=token) as channel:
            assert await call(channel) == b"x"


async def test_health_is_told_to_all_and_what_there_is_to_those_with_the_token(tmp_path: Path) -> None:
    async with serving(ServiceToken.make(tmp_path / "token")) as address, open_channel(address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        await stub.Check(health_pb2.HealthCheckRequest(service="liveness"))
        with pytest.raises(grpc.aio.AioRpcError, match="no token"):
            await ask_what_there_is(channel)


def test_a_token_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    token = ServiceToken.make(tmp_path / "token")
    (tmp_path / "token").chmod(0o644)
    assert ServiceToken.make(tmp_path / "token").metadata == token.metadata
    assert len(token.metadata[1]) > 40
    assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o600


def test_a_token_that_could_not_be_written_whole_is_made_by_the_next_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(_num_bytes: int) -> str:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as full_disk, pytest.raises(OSError, match="No space"):
        full_disk.setattr("services.chassis.machine.parent.secrets.token_urlsafe", fill)
        ServiceToken.make(tmp_path / "token")
    assert not list(tmp_path.iterdir())
    assert len(ServiceToken.make(tmp_path / "token").metadata[1]) > 40


def test_two_tokens_are_let_in_while_one_takes_the_others_place(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("old\n")
    old = ServiceToken(file)
    file.write_text("new\nold\n")
    both = ServiceToken(file)
    assert both.metadata[1] == "new"
    assert both.is_in([old.metadata]) and both.is_in([both.metadata])
    assert not both.is_in([("x-drillyard-token", "")]) and not both.is_in([])


@pytest.mark.parametrize("content", [None, " \n"])
def test_a_token_that_is_not_there_is_named(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "token").write_text(content)
    with pytest.raises(FailedPrecondition, match=str(tmp_path / "token")):
        ServiceToken(tmp_path / "token")


class DoorSettings(ServiceSettings, env_prefix="DOOR_UNIT_"):
    pass


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7"])
def test_a_service_beyond_this_machine_needs_a_token(
    host: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DOOR_UNIT_HOST", host)
    with pytest.raises(SystemExit):
        load_settings(DoorSettings)
    assert "DOOR_UNIT_TOKEN_FILE" in capsys.readouterr().err
    monkeypatch.setenv("DOOR_UNIT_TOKEN_FILE", os.devnull)
    assert load_settings(DoorSettings).host == host


def test_what_rpcs_there_are_is_told_in_development_alone() -> None:
    assert DoorSettings().reflection is False
