"""Services that show each other certificates: who is let in, what the others are told, and new certificates."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from drillyard.registry.v1.import_pb2 import CreateImportRequest

from services.chassis.application import JOB_MIGRATIONS, assemble
from services.chassis.calls import CallLimit
from services.chassis.channel import open_blocking_channel, open_channel
from services.chassis.errors import FailedPrecondition, Unavailable, Unimplemented
from services.chassis.machine import tls as tls_module
from services.chassis.machine.tls import TlsFolder
from services.chassis.server import Server
from services.chassis.settings import ServiceSettings
from services.chassis.telemetry import Telemetry
from services.smoke import health_of
from tests.machine import PATIENCE_SECONDS
from ui.gateway.clients import open_clients
from ui.gateway.settings import GatewaySettings

SERVICE = "test.Echo"
OURS, THEIRS = trustme.CA(), trustme.CA()


def folder_of(folder: Path, ca: trustme.CA, name: str = "127.0.0.1", trusted: trustme.CA | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    certificate = ca.issue_cert(name)
    certificate.private_key_pem.write_to_path(folder / "tls.key")
    certificate.cert_chain_pems[0].write_to_path(folder / "tls.crt")
    (trusted or ca).cert_pem.write_to_path(folder / "ca.crt")
    return folder


async def peer(_request: bytes, context: Any) -> bytes:
    names: list[bytes] = context.auth_context().get("x509_subject_alternative_name", [])
    return b",".join(names)


async def count(_request: bytes, _context: Any) -> AsyncIterator[bytes]:
    yield b"1"
    await asyncio.sleep(60)


def add_echo(outages: list[Callable[[], Awaitable[None]]], server: Any) -> None:
    async def get(request: bytes, context: Any) -> bytes:
        if outages:
            await outages.pop()()
            raise Unavailable("It goes away.")
        return await peer(request, context)

    methods: dict[str, Any] = {
        "GetPeer": grpc.unary_unary_rpc_method_handler(get),
        "AskPeer": grpc.unary_unary_rpc_method_handler(peer),
        "WatchCount": grpc.unary_stream_rpc_method_handler(count),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))


@asynccontextmanager
async def serving(folder: Path | None, *outages: Callable[[], Awaitable[None]]) -> AsyncIterator[str]:
    server = Server(Telemetry(), CallLimit(4, 2), tls_dir=folder)
    server.add_servicer(add_echo, list(outages), SERVICE)
    port = server.bind("127.0.0.1", 0, reflection=False)
    await server.start()
    await server.set_serving(True)
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.drain(0)


async def name_seen(address: str, folder: Path | None) -> bytes:
    async with open_channel(address, tls=TlsFolder(folder) if folder else None, deadline_seconds=3) as channel:
        answer: bytes = await channel.unary_unary(f"/{SERVICE}/AskPeer")(b"")
        return answer


@pytest.fixture(autouse=True)
def read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls_module, "_READ_SECONDS", 0.0)


async def test_both_sides_know_each_other_by_their_certificates(tmp_path: Path) -> None:
    client = folder_of(tmp_path / "client", OURS, "dy-trainer")
    async with serving(folder_of(tmp_path / "server", OURS)) as address:
        assert await name_seen(address, client) == b"dy-trainer"


@pytest.mark.parametrize(
    ("ca", "trusted", "refusal"),
    [
        (None, None, r"hung up before a call: it takes no calls without a certificate of a CA that it trusts"),
        (THEIRS, OURS, r"hung up before a call: it takes no calls without a certificate of a CA that it trusts"),
        (THEIRS, THEIRS, "certificate is over, or not of a CA that this side trusts"),
    ],
)
async def test_a_client_without_a_certificate_of_the_ca_is_refused(
    tmp_path: Path, ca: trustme.CA | None, trusted: trustme.CA | None, refusal: str
) -> None:
    client = folder_of(tmp_path / "client", ca, trusted=trusted) if ca else None
    async with serving(folder_of(tmp_path / "server", OURS)) as address:
        with pytest.raises(Unavailable, match=refusal) as caught:
            await name_seen(address, client)
    assert caught.value.next_step.startswith("Give all services certificates of one CA in their TLS_DIR")


async def test_a_server_of_another_name_or_without_tls_is_not_called(tmp_path: Path) -> None:
    client = folder_of(tmp_path / "client", OURS)
    async with serving(folder_of(tmp_path / "server", OURS, "dy-registry")) as address:
        with pytest.raises(Unavailable, match="for another name than its address"):
            await name_seen(address, client)
        with open_blocking_channel(address, TlsFolder(client).pems(), server_name="dy-registry") as channel:
            ask = channel.unary_unary(f"/{SERVICE}/AskPeer")
            assert await asyncio.to_thread(ask, b"", timeout=PATIENCE_SECONDS) == b"127.0.0.1"
    async with serving(None) as address:
        with pytest.raises(Unavailable, match="takes calls without TLS alone"):
            await name_seen(address, client)


async def test_new_certificates_are_taken_without_a_restart_and_cut_no_stream(tmp_path: Path) -> None:
    server, client = folder_of(tmp_path / "server", OURS), folder_of(tmp_path / "client", OURS, "old")
    async with serving(server) as address, open_channel(address, tls=TlsFolder(client)) as channel:
        ask, watch = (
            channel.unary_unary(f"/{SERVICE}/AskPeer"),
            channel.unary_stream(f"/{SERVICE}/WatchCount")(b""),
        )
        assert await ask(b"") == b"old"
        assert await anext(watch) == b"1"
        further = asyncio.ensure_future(anext(watch))
        for folder, name in ((server, "127.0.0.1"), (client, "new")):
            folder_of(folder, THEIRS, name)
        assert await ask(b"") == b"new"
        assert not further.done()
        further.cancel()


async def test_a_call_that_waits_for_its_retry_outlives_its_certificate(tmp_path: Path) -> None:
    client = folder_of(tmp_path / "client", OURS, "old")

    async def renew() -> None:
        folder_of(client, OURS, "new")
        assert await channel.unary_unary(f"/{SERVICE}/AskPeer")(b"") == b"new"

    async with (
        serving(folder_of(tmp_path / "server", OURS), renew) as address,
        open_channel(address, tls=TlsFolder(client)) as channel,
    ):
        assert await channel.unary_unary(f"/{SERVICE}/GetPeer")(b"") == b"old"


async def test_a_closed_channel_ends_the_calls_of_replaced_certificates(tmp_path: Path) -> None:
    client = folder_of(tmp_path / "client", OURS, "old")
    async with serving(folder_of(tmp_path / "server", OURS)) as address:
        async with open_channel(address, tls=TlsFolder(client)) as channel:
            watch = channel.unary_stream(f"/{SERVICE}/WatchCount")(b"")
            assert await anext(watch) == b"1"
            folder_of(client, OURS, "new")
            assert await channel.unary_unary(f"/{SERVICE}/AskPeer")(b"") == b"new"
        with pytest.raises(asyncio.CancelledError):
            await anext(watch)


def test_a_folder_that_is_replaced_while_it_is_read_gives_files_that_belong_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("old", "new"):
        folder_of(tmp_path / name, OURS)
    data, read = tmp_path / "..data", Path.read_bytes
    data.symlink_to("old")
    files = [tmp_path / name for name in ("tls.key", "tls.crt", "ca.crt")]
    for file in files:
        file.symlink_to(f"..data/{file.name}")

    def read_and_replace(path: Path) -> bytes:
        found = read(path)
        if data.readlink() == Path("old"):
            (tmp_path / "..data_tmp").symlink_to("new")
            (tmp_path / "..data_tmp").rename(data)
        return found

    monkeypatch.setattr(Path, "read_bytes", read_and_replace)
    # What is asked for is what the first reading found.
    monkeypatch.setattr(tls_module, "_READ_SECONDS", 3600.0)
    assert TlsFolder(tmp_path).pems() == tuple(read(file) for file in files)


def test_files_that_are_half_replaced_change_nothing(tmp_path: Path) -> None:
    folder = TlsFolder(folder_of(tmp_path, OURS))
    before = folder.pems()
    OURS.issue_cert("localhost").private_key_pem.write_to_path(tmp_path / "tls.key")
    assert folder.pems() is before
    (tmp_path / "ca.crt").unlink()
    assert folder.pems() is before
    folder_of(tmp_path, OURS)
    assert folder.pems() != before


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition, match=r"cannot be read: No such file.*Let this process read tls.key"):
        TlsFolder(tmp_path)
    folder_of(tmp_path, OURS)
    OURS.issue_cert("localhost").private_key_pem.write_to_path(tmp_path / "tls.key")
    with pytest.raises(FailedPrecondition, match=r"cannot be used: KEY_VALUES_MISMATCH.*Put a PEM certificate"):
        TlsFolder(tmp_path)


async def test_the_check_of_health_shows_a_certificate(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, OURS)
    async with serving(folder) as address:
        assert await asyncio.to_thread(health_of, address, 60, TlsFolder(folder)) == "SERVING"
        assert await asyncio.to_thread(health_of, address, 0.5) in ("DEADLINE_EXCEEDED", "UNAVAILABLE")


class WiredSettings(ServiceSettings, env_prefix="WIRED_"):
    """As those of any service."""


async def test_the_setting_of_a_service_and_of_the_gateway_is_the_folder(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "tls", OURS)
    app = await assemble("wired", WiredSettings(data_dir=tmp_path, tls_dir=folder), JOB_MIGRATIONS)
    try:
        address = f"127.0.0.1:{app.server.bind('127.0.0.1', 0, reflection=False)}"
        await app.server.start()
        ask = app.open_channel(address).unary_unary("/test.Echo/AskPeer")
        # Whoever is told that there is no such method was let in.
        with pytest.raises(Unimplemented):
            await ask(b"")
        for tls_dir, told in ((folder, Unimplemented), (None, Unavailable)):
            settings = GatewaySettings(tls_dir=tls_dir, registry_address=address)
            async with open_clients(settings) as clients:
                with pytest.raises(told):
                    await clients.registry.CreateImport(CreateImportRequest(request_id="1"))
    finally:
        await app.stop()
