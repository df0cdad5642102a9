"""A name that leads to other addresses from now on, as a headless service does when its pods are replaced."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import grpc
import grpc.aio

from services.chassis.channel import open_channel
from services.chassis.waiting import patiently
from tests.machine import PATIENCE_SECONDS

IPV4 = 1


async def answer_questions(server: socket.socket, hosts: list[str]) -> None:
    """Be a name server: answer every question for an IPv4 address with `hosts`."""
    loop = asyncio.get_running_loop()
    while True:
        question, asker = await loop.sock_recvfrom(server, 512)
        end = question.index(b"\0", 12) + 5
        (kind,) = struct.unpack(">H", question[end - 4 : end - 2])
        found = hosts if kind == IPV4 else ()
        header = question[:2] + struct.pack(">HHHHH", 0x8180, 1, len(found), 0, 0)
        # Each answer points back at the name that was asked for, which begins at byte 12.
        answers = [struct.pack(">HHHIH", 0xC00C, IPV4, 1, 0, 4) + socket.inet_aton(host) for host in found]
        await loop.sock_sendto(server, header + question[12:end] + b"".join(answers), asker)


@contextmanager
def name_server(hosts: list[str]) -> Iterator[int]:
    """Run a name server, whose answers change with `hosts`, and yield its port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.setblocking(False)
        answering = asyncio.ensure_future(answer_questions(server, hosts))
        try:
            yield server.getsockname()[1]
        finally:
            answering.cancel()


@asynccontextmanager
async def pod(host: str, port: int = 0) -> AsyncIterator[int]:
    """Serve a method that tells the pod's address, and yield its port."""

    async def answer(_request: bytes, _context: object) -> bytes:
        return host.encode()

    server = grpc.aio.server()
    method = grpc.unary_unary_rpc_method_handler(answer)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Pods", {"GetHost": method}),))
    port = server.add_insecure_port(f"{host}:{port}")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(0)


async def test_calls_find_the_pods_that_took_the_place_of_another_and_go_to_all_of_them() -> None:
    hosts = ["127.0.0.1"]
    with name_server(hosts) as dns_port:
        async with pod("127.0.0.1") as port:
            channel = open_channel(f"dns://127.0.0.1:{dns_port}/registry.drillyard.test:{port}")
            call = channel.unary_unary("/test.Pods/GetHost")
            assert await call(b"") == b"127.0.0.1"
        # gRPC's own half minute between two questions to the name server would be too long for this.
        async with pod("127.0.0.2", port), pod("127.0.0.3", port), asyncio.timeout(PATIENCE_SECONDS):
            hosts[:] = "127.0.0.2", "127.0.0.3"
            reached = {await patiently(lambda: call(b""), "the registry")}
            while reached != {b"127.0.0.2", b"127.0.0.3"}:
                reached.add(await call(b""))
        await channel.close()
