"""The connection to a gateway that blocks until the answer is there."""

from __future__ import annotations

import weakref
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

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
    from tenacity import Retrying


class Gateway(Endpoint[Document]):
    """A gateway at a URL; every method raises GatewayError when it does not get what it asked for."""

    def __init__(self, *place: str | None, **options: Any) -> None:
        super().__init__(*place, **options)
        import httpx2

        self._http = httpx2.Client(**self._options)
        # Whoever does not close it leaves no socket open.
        self._finalizer = weakref.finalize(self, self._http.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close what is open to the gateway."""
        self._finalizer()

    def request(self, request: Request) -> Document:
        """Send a request and return the document that answers it."""
        return self._retrying()(self._ask, request) if request.is_repeatable else self._ask(request)

    def every(self, path: str, field: str, limit: int = 1000, **query: Any) -> list[Document]:
        """Return the entries of all pages of a list, at most `limit`."""
        documents: list[Document] = []
        token = ""
        while True:
            page = self.get(path, **query, page_size=min(200, limit), page_token=token)
            documents += page[field]
            token = page["next_page_token"]
            if not token or len(documents) >= limit:
                return documents[:limit]

    def events(self, path: str, after_sequence: int = 0, retry_seconds: float | None = None) -> Iterator[Event]:
        """Yield the events of a job after one of them until the last, each once, over lost connections too."""
        reader = EventReader(after_sequence)
        while True:
            stream, event = self._retrying(retry_seconds)(self._begin, path, reader)
            with closing(stream):
                if event is None:
                    return
                try:
                    while event is not None:
                        if event.type != "ping":
                            yield event
                        event = next(stream, None)
                    # A gateway that stops ends its streams in good order, whatever is still to come.
                    if reader.is_final:
                        return
                except GatewayError as error:
                    if not error.may_pass:
                        raise
            reader = EventReader(reader.after_sequence)

    def download(self, path: str, out: Path, **query: Any) -> Path:
        """Write a file to `out`, whole or not at all, and return its path; a folder gets the name that it comes with.

        Raises:
            OSError: It cannot be written there.
        """
        with self._answered(Request("GET", target_of(path, query))) as response:
            place = place_of(response, out)
            with written_whole(place) as file:
                for chunk in response.iter_bytes():
                    file.write(chunk)
        return place

    def _ask(self, request: Request) -> Document:
        with self._answered(request) as response:
            response.read()
            try:
                document: Document = response.json()
            except ValueError as error:
                raise self._away(error) from None
        return document

    def _begin(self, path: str, reader: EventReader) -> tuple[Generator[Event], Event | None]:
        stream = self._stream(path, reader)
        return stream, next(stream, None)

    def _stream(self, path: str, reader: EventReader) -> Generator[Event]:
        reader.begin()
        with self._answered(Request("GET", target_of(path, {"after_sequence": reader.after_sequence}))) as response:
            for line in response.iter_lines():
                if event := reader.read(line):
                    yield event

    def _retrying(self, seconds: float | None = None) -> Retrying:
        from tenacity import Retrying

        return Retrying(**self._retry_options(seconds))

    @contextmanager
    def _answered(self, request: Request) -> Iterator[httpx2.Response]:
        import httpx2

        try:
            with self._http.stream(**self._sent(request)) as response:
                if response.status_code >= 400:
                    response.read()
                refuse_problem(response)
                yield response
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise self._away(error) from None
