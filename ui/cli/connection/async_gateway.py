"""The connection to a gateway for programs with an event loop."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from services.chassis.machine.files import written_whole
from ui.cli.connection.errors import GatewayError
from ui.cli.connection.requests import (
    Document,
    Endpoint,
    Event,
    EventReader,
    Request,
    place_of,
    refuse_problem,
    target_of,
)

if TYPE_CHECKING:
    import httpx2
    from tenacity import AsyncRetrying

_Begun: TypeAlias = tuple[AsyncGenerator[Event], Event | None]


class AsyncGateway(Endpoint[Awaitable[Document]]):
    """A gateway at a URL; every method raises GatewayError when it does not get what it asked for."""

    def __init__(self, *place: str | None, **options: Any) -> None:
        super().__init__(*place, **options)
        import httpx2

        self._http = httpx2.AsyncClient(**self._options)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close what is open to the gateway."""
        await self._http.aclose()

    async def request(self, request: Request) -> Document:
        """Send a request and return the document that answers it."""
        if not request.is_repeatable:
            return await self._ask(request)
        document: Document = await self._retrying()(self._ask, request)
        return document

    async def events(
        self, path: str, after_sequence: int = 0, retry_seconds: float | None = None
    ) -> AsyncGenerator[Event]:
        """Yield the events of a job after one of them until the last, each once, over lost connections too."""
        reader = EventReader(after_sequence)
        while True:
            begin: _Begun = await self._retrying(retry_seconds)(self._begin, path, reader)
            stream, event = begin
            async with aclosing(stream):
                if event is None:
                    return
                try:
                    while event is not None:
                        if event.type != "ping":
                            yield event
                        event = await anext(stream, None)
                    # A gateway that stops ends its streams in good order, whatever is still to come.
                    if reader.is_final:
                        return
                except GatewayError as error:
                    if not error.may_pass:
                        raise
            reader = EventReader(reader.after_sequence)

    async def download(self, path: str, out: Path, **query: Any) -> Path:
        """Write a file to `out`, whole or not at all, and return its path; a folder gets the name that it comes with.

        Raises:
            OSError: It cannot be written there.
        """
        async with self._answered(Request("GET", target_of(path, query))) as response:
            place = place_of(response, out)
            with written_whole(place) as file:
                async for chunk in response.aiter_bytes():
                    file.write(chunk)
        return place

    async def _ask(self, request: Request) -> Document:
        async with self._answered(request) as response:
            await response.aread()
            try:
                document: Document = response.json()
            except ValueError as error:
                raise self._away(error) from None
        return document

    async def _begin(self, path: str, reader: EventReader) -> _Begun:
        stream = self._stream(path, reader)
        return stream, await anext(stream, None)

    async def _stream(self, path: str, reader: EventReader) -> AsyncGenerator[Event]:
        reader.begin()
        request = Request("GET", target_of(path, {"after_sequence": reader.after_sequence}))
        async with self._answered(request) as response:
            async for line in response.aiter_lines():
                if event := reader.read(line):
                    yield event

    def _retrying(self, seconds: float | None = None) -> AsyncRetrying:
        from tenacity import AsyncRetrying

        return AsyncRetrying(**self._retry_options(seconds))

    @asynccontextmanager
    async def _answered(self, request: Request) -> AsyncIterator[httpx2.Response]:
        import httpx2

        try:
            async with self._http.stream(**self._sent(request)) as response:
                if response.status_code >= 400:
                    await response.aread()
                refuse_problem(response)
                yield response
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise self._away(error) from None
