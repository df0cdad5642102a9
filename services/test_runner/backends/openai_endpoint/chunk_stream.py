"""What a server streams, event by event, in the forms that servers have for it."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

from openai import APIError, AsyncStream

_MARK = b"\xef\xbb\xbf"
_DONE = "[DONE]"
_BLANK = b" \t\r\n"
# A connection whose answer was read to its end can be used again.
_END_SECONDS = 1.0


class ChunkStream(AsyncStream[object]):
    """The JSON of each event; an answer that was sent in one piece is its only one.

    Attributes:
        is_done: The server said that nothing more comes, or sent the answer as a whole.
    """

    is_done = False

    async def __stream__(self) -> AsyncIterator[object]:
        """Yield each chunk.

        Raises:
            APIError: The server says that it failed.
            ValueError: An event is no JSON.
        """
        received = aiter(self.response.aiter_bytes())
        head = await _beginning(received)
        if head.startswith(b"{"):
            yield self._checked(json.loads(b"".join([head, *[part async for part in received]])))
            self.is_done = True
            return
        async for event in self._decoder.aiter_bytes(_joined(head, received)):
            for chunk in self._chunks(event.data):
                yield self._checked(chunk, is_error=event.event == "error")
            if self.is_done:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_END_SECONDS):
                        _ = [part async for part in received]
                return

    def _chunks(self, text: str) -> Iterator[object]:
        text = text.strip()
        if text.startswith(_DONE):
            self.is_done = True
            return
        try:
            chunk = json.loads(text) if text else None
        except ValueError:
            if "\n" not in text:
                raise
            # Without blank lines between them several events are read as one.
            for line in text.splitlines():
                yield from self._chunks(line)
            return
        if text:
            yield chunk

    def _checked(self, chunk: object, *, is_error: bool = False) -> object:
        if not isinstance(chunk, dict):
            return chunk
        error: Any = chunk if is_error or chunk.get("object") == "error" else None
        error = chunk.get("error") or error
        if error:
            message = error.get("message") if isinstance(error, dict) else error
            raise APIError(str(message or "no more"), request=self.response.request, body=error)
        return chunk


async def _beginning(received: AsyncIterator[bytes]) -> bytes:
    """Return what came first, without a mark of the byte order and blanks; empty when nothing came."""
    head = b""
    async for part in received:
        head = (head + part).removeprefix(_MARK).lstrip(_BLANK)
        if head and not _MARK.startswith(head):
            break
    return head


async def _joined(head: bytes, received: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield head
    async for part in received:
        yield part
