#!/bin/sh
# Package: grpcio 1.85.1 (PyPI).
# Expected: a server answers a request that its deserializer refuses in one way, whether it is `grpc.server` or
#   `grpc.aio.server`: status INTERNAL, "Exception deserializing request!", which tells the caller nothing of the code.
# What happens: `grpc.server` does so; `grpc.aio.server` answers UNKNOWN and sends the caller the class and the words of
#   the exception.
# Who moves a service to asyncio gets another status for malformed requests, which clients may retry or count otherwise.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check grpcio==1.85.1
"$work/venv/bin/python" - 2>/dev/null <<'PYTHON'
import asyncio
from concurrent.futures import ThreadPoolExecutor

import grpc
import grpc.aio


def decode(_request: bytes) -> None:
    raise ValueError("not one of our messages")


def answer(_request: object, _context: object) -> bytes:
    return b""


async def answer_later(_request: object, _context: object) -> bytes:
    return b""


def serving(method: object) -> tuple[grpc.GenericRpcHandler]:
    handler = grpc.unary_unary_rpc_method_handler(method, request_deserializer=decode)
    return (grpc.method_handlers_generic_handler("example.Echo", {"Say": handler}),)


def status_of(port: int) -> tuple[str, str]:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        try:
            channel.unary_unary("/example.Echo/Say")(b"hello", timeout=10)
        except grpc.RpcError as error:
            return error.code().name, error.details()
    return "OK", ""


def threads() -> tuple[str, str]:
    server = grpc.server(ThreadPoolExecutor(1), handlers=serving(answer))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        return status_of(port)
    finally:
        server.stop(0)


async def asynchronous() -> tuple[str, str]:
    server = grpc.aio.server(handlers=serving(answer_later))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        return await asyncio.to_thread(status_of, port)
    finally:
        await server.stop(0)


statuses = [threads(), asyncio.run(asynchronous())]
print("grpc.server:", *statuses[0])
print("grpc.aio.server:", *statuses[1])
expected = [
    ("INTERNAL", "Exception deserializing request!"),
    ("UNKNOWN", "Unexpected <class 'ValueError'>: not one of our messages"),
]
raise SystemExit(statuses != expected)
PYTHON
