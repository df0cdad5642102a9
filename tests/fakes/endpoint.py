"""A server that speaks OpenAI's chat completions, and every way to do it wrong."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

MODEL = "fake-model"
KEY = "sk-canary-4711"


@dataclass(frozen=True)
class Request:
    """What a client asked."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Any


Behaviour = Callable[[Request, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class FakeEndpoint:
    """Answers chat requests as `script` says, one entry per request, the last one for ever."""

    script: list[Behaviour]
    needs_key: bool = False
    routes: dict[str, Any] = field(default_factory=lambda: {"/v1/models": {"data": [{"id": MODEL}]}})
    requests: list[Request] = field(default_factory=list)
    num_inside: int = 0
    most_inside: int = 0
    base_url: str = ""
    open: set[asyncio.Task[Any]] = field(default_factory=set)

    @property
    def asked(self) -> list[Request]:
        """Requests for answers."""
        return [request for request in self.requests if request.path.endswith("completions")]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.open.add(task)
        try:
            await self._converse(reader, writer)
        finally:
            self.open.discard(task)
            writer.transport.abort()

    async def end(self) -> None:
        """End all conversations."""
        for task in list(self.open):
            task.cancel()
        while self.open:
            await asyncio.sleep(0)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while not writer.is_closing():
                request = await _read(reader)
                self.requests.append(request)
                await self._answer(request, writer)
                await writer.drain()
            await writer.wait_closed()

    async def _answer(self, request: Request, writer: asyncio.StreamWriter) -> None:
        if self.needs_key and request.headers.get("authorization") != f"Bearer {KEY}":
            said = request.headers.get("authorization", "")
            return send(writer, 401, {"error": {"message": f"Incorrect API key provided: {said}"}})
        route = self.routes.get(request.path)
        if route is not None:
            return send(writer, 200, route(request) if callable(route) else route)
        if not request.path.endswith("completions"):
            return send(writer, 404, {"error": "no such route"})
        behaviour = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        self.num_inside += 1
        self.most_inside = max(self.most_inside, self.num_inside)
        try:
            await behaviour(request, writer)
        finally:
            self.num_inside -= 1
        return None


@asynccontextmanager
async def running(*script: Behaviour, **choices: Any) -> AsyncIterator[FakeEndpoint]:
    """Serve on a free loopback port for the length of a block."""
    endpoint = FakeEndpoint(list(script), **choices)
    server = await asyncio.start_server(endpoint.serve, "127.0.0.1", 0)
    endpoint.base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield endpoint
    finally:
        server.close()
        await endpoint.end()


def send(writer: asyncio.StreamWriter, status: int, body: Any, headers: str = "") -> None:
    content = json.dumps(body).encode()
    writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: {len(content)}\r\n{headers}\r\n".encode() + content)


def begin_stream(writer: asyncio.StreamWriter, kind: str = "text/event-stream") -> None:
    writer.write(f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\nconnection: close\r\n\r\n".encode())


def event(writer: asyncio.StreamWriter, chunk: Any) -> None:
    writer.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")


def chunk(delta: Any, reason: str | None = None, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": reason, **more}]}


def says(text: str, reason: str = "stop", usage: Any = None) -> Behaviour:
    """Answer with this text in pieces of four characters."""
    pieces = [chunk({"content": text[place : place + 4]}) for place in range(0, len(text), 4)]
    last = {"choices": [], "usage": usage or {"prompt_tokens": 11, "completion_tokens": 3}}
    return streams(*pieces, chunk({}, reason), last)


def streams(*chunks: Any, is_done: bool = True) -> Behaviour:
    """Send these chunks, and say that nothing more comes unless the stream is to break off."""

    async def behave(request: Request, writer: asyncio.StreamWriter) -> None:
        begin_stream(writer)
        for each in chunks:
            event(writer, each)
        if is_done:
            writer.write(b"data: [DONE]\n\n")
        writer.close()

    return behave


def writes(content: bytes) -> Behaviour:
    """Send these bytes as they are, and close."""

    async def behave(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(content)
        writer.close()

    return behave


def refuses(status: int, message: Any, headers: str = "") -> Behaviour:
    """Answer with an error."""

    async def behave(request: Request, writer: asyncio.StreamWriter) -> None:
        send(writer, status, {"error": message if isinstance(message, dict) else {"message": message}}, headers)

    return behave


async def hangs(request: Request, writer: asyncio.StreamWriter) -> None:
    """Take the request and say nothing."""
    await asyncio.sleep(60)


async def drips(request: Request, writer: asyncio.StreamWriter) -> None:
    """Send a byte now and then, for ever."""
    begin_stream(writer)
    while not writer.is_closing():
        writer.write(b":")
        await writer.drain()
        await asyncio.sleep(0.01)


def never_ends(piece: bytes) -> Behaviour:
    """Send the same bytes for ever, as fast as they are taken."""

    async def behave(request: Request, writer: asyncio.StreamWriter) -> None:
        begin_stream(writer)
        while not writer.is_closing():
            writer.write(piece)
            await writer.drain()

    return behave


async def _read(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *lines = head.split("\r\n")
    method, path, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
    content = await reader.readexactly(int(headers.get("content-length", 0)))
    return Request(method, path, headers, json.loads(content) if content else None)
