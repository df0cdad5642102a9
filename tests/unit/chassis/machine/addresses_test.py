"""Which addresses endpoints may be at, and over which connections they are asked."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest

from services.chassis.machine.guarded_http import (
    ForbiddenAddressError,
    GuardedTransport,
    Resolve,
    is_public,
    open_client,
)

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"


class Server:
    """Answers every request on connections that stay open, and keeps what each connection was asked."""

    def __init__(self) -> None:
        self.connections: list[list[bytes]] = []
        self.port = 0
        self.open: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests: list[bytes] = []
        self.connections.append(requests)
        self.open.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                requests.append(await reader.readuntil(b"\r\n\r\n"))
                writer.write(ANSWER)


@asynccontextmanager
async def serving(host: str = "127.0.0.1") -> AsyncIterator[Server]:
    server = Server()
    try:
        listener = await asyncio.start_server(server.serve, host, 0)
    except OSError as error:
        pytest.skip(f"This machine has no {host}: {error}. Enable IPv6 on its loopback interface.")
    server.port = listener.sockets[0].getsockname()[1]
    async with listener:
        yield server
        for writer in server.open:
            writer.close()
            await writer.wait_closed()


def leads_to(*addresses: str) -> Resolve:
    async def resolve(_host: str, _port: int) -> list[str]:
        return list(addresses)

    return resolve


def client(*addresses: str, trusted: tuple[str, ...] = ()) -> httpx2.AsyncClient:
    return open_client(transport=GuardedTransport(trusted, resolve=leads_to(*addresses)))


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "::127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::a00:1",
        "2002:7f00:1::",
        "2001:0:a00:1::",
        "fd00:ec2::254",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
    ],
)
def test_addresses_that_are_no_host_of_the_internet_need_a_listed_name(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "::ffff:8.8.8.8", "64:ff9b::808:808", "2606:4700::1111"])
def test_hosts_of_the_internet_need_no_list(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("address", ["127.0.0.1", "::ffff:127.0.0.1", "10.0.0.7"])
async def test_a_name_of_the_internet_does_not_lead_into_this_network(address: str) -> None:
    async with serving() as server, client("8.8.8.8", address) as asking:
        with pytest.raises(ForbiddenAddressError):
            await asking.get(f"http://models.example:{server.port}/")
    assert not server.connections


async def test_localhost_leads_nowhere_but_to_this_machine() -> None:
    async with client("8.8.8.8") as asking:
        with pytest.raises(ForbiddenAddressError):
            await asking.get("http://localhost:9/")


async def test_a_listed_name_may_be_anywhere() -> None:
    async with serving() as server, client("127.0.0.1", trusted=("models.example",)) as asking:
        assert (await asking.get(f"http://models.example:{server.port}/")).status_code == 200


async def test_names_that_share_an_address_share_no_connection() -> None:
    trusted = ("a.example", "b.example")
    async with serving() as server, client("127.0.0.1", trusted=trusted) as asking:
        for name in ("a.example", "b.example", "a.example"):
            await asking.get(f"http://{name}:{server.port}/")
    hosts = [[request.lower().split(b"host: ")[1].split(b":")[0] for request in asked] for asked in server.connections]
    assert hosts == [[b"a.example", b"a.example"], [b"b.example"]]


async def test_localhost_is_reached_at_whichever_of_its_addresses_a_server_listens() -> None:
    async with serving("::1") as server, client("127.0.0.1", "::1") as asking:
        assert (await asking.get(f"http://localhost:{server.port}/")).status_code == 200
    async with serving("127.0.0.1") as server, client("::1", "127.0.0.1") as asking:
        assert (await asking.get(f"http://localhost:{server.port}/")).status_code == 200


async def test_an_ipv6_address_is_asked_as_it_is_written() -> None:
    async with serving("::1") as server, open_client() as asking:
        assert (await asking.get(f"http://[::1]:{server.port}/")).status_code == 200


async def test_a_name_without_an_address_is_no_server() -> None:
    async with client() as asking:
        with pytest.raises(httpx2.ConnectError):
            await asking.get("http://models.example/")
