"""An HTTP server of files with every fault that real hosts have; it counts what it sends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ssl import SSLContext

Headers = dict[str, str]


@dataclass
class Reply:
    """What a request gets; `cut` ends the connection after so many bytes of the body."""

    status: int = 200
    headers: Headers = field(default_factory=dict)
    body: bytes = b""
    cut: int | None = None


@dataclass
class Asked:
    """A request that came."""

    method: str
    path: str
    headers: Headers
    body: bytes = b""


Answer = Callable[[Asked], Reply | None]


class FileServer:
    """Serves `files` with ranges; what `answer` returns for a request goes before."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.answer: Answer = lambda _: None
        self.requests: list[Asked] = []
        self.takes_ranges = True
        self.tells_etag = True
        self.bytes_per_second = 0.0
        self.sent_bytes = 0
        self.port = 0
        self.connections: set[asyncio.Task[None] | None] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.add(task := asyncio.current_task())
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
                while await self._exchange(reader, writer):
                    pass
        finally:
            writer.transport.abort()
            self.connections.discard(task)

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        asked = await self._read(reader)
        self.requests.append(asked)
        reply = self.answer(asked) or self._file(asked)
        length = {} if "transfer-encoding" in reply.headers else {"content-length": str(len(reply.body))}
        lines = [f"{name}: {value}" for name, value in {**length, **reply.headers}.items()]
        writer.write("\r\n".join([f"HTTP/1.1 {reply.status} X", *lines, "\r\n"]).encode())
        body = b"" if asked.method == "HEAD" else reply.body
        await self._send(writer, body if reply.cut is None else body[: reply.cut])
        return reply.cut is None

    async def _read(self, reader: asyncio.StreamReader) -> Asked:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ")
        pairs = (line.partition(": ") for line in head[1:] if line)
        headers = {name.lower(): value for name, _, value in pairs}
        return Asked(method, path, headers, await reader.readexactly(int(headers.get("content-length", "0"))))

    async def _send(self, writer: asyncio.StreamWriter, body: bytes) -> None:
        step = max(int(self.bytes_per_second / 100), 1) if self.bytes_per_second else max(len(body), 1)
        for place in range(0, len(body), step):
            writer.write(body[place : place + step])
            self.sent_bytes += len(body[place : place + step])
            await writer.drain()
            if self.bytes_per_second:
                await asyncio.sleep(0.01)

    def _file(self, asked: Asked) -> Reply:
        content = self.files.get(asked.path.partition("?")[0])
        if content is None:
            return Reply(404)
        tag = {"etag": f'"{hash(content)}"'} if self.tells_etag else {}
        begin, _, end = asked.headers.get("range", "").removeprefix("bytes=").partition("-")
        if not begin or not self.takes_ranges or asked.headers.get("if-range", tag.get("etag")) != tag.get("etag"):
            return Reply(200, tag, content)
        if int(begin) >= len(content):
            return Reply(416, {"content-range": f"bytes */{len(content)}"})
        last = min(int(end or len(content) - 1), len(content) - 1)
        part = content[int(begin) : last + 1]
        return Reply(206, {**tag, "content-range": f"bytes {begin}-{last}/{len(content)}"}, part)


@asynccontextmanager
async def serving_files(host: str = "127.0.0.1", tls: SSLContext | None = None) -> AsyncIterator[FileServer]:
    server = FileServer()
    listener = await asyncio.start_server(server.serve, host, 0, ssl=tls)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        for task in filter(None, tuple(server.connections)):
            task.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
