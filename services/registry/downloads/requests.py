"""Requests for parts of one file: redirects followed, refusals told from failures that pass."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx2

from services.chassis.errors import FailedPrecondition, NotFound, PermissionDenied
from services.chassis.machine.guarded_http import ForbiddenAddressError
from services.chassis.machine.hosts import HostPolicy
from services.chassis.settings import is_loopback
from services.registry.downloads.connections import Answer, BrokenConnectionError, Connections
from services.registry.downloads.remote_file import ChangedFile, PassingFailure, RemoteFile, SourceRefused

_MAX_REDIRECTS = 8
_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_REFUSED = frozenset((401, 403))
_GONE = frozenset((404, 410))
_PASSING = frozenset((408, 421, 425, 429, 500, 502, 503, 504, 529))
_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+)")
_MAX_RETRY_AFTER_SECONDS = 120.0


@dataclass(frozen=True)
class RemoteFacts:
    """What a host says of a file: its size, whether parts can be asked for, and a strong entity tag or nothing."""

    size_bytes: int
    takes_ranges: bool
    etag: str


class FileRequests:
    """Asks for one file, from several threads; where a redirect led is asked again until it refuses."""

    def __init__(self, connections: Connections, policy: HostPolicy, file: RemoteFile) -> None:
        self._connections = connections
        self._policy = policy
        self._file = file
        self._url = httpx2.URL(file.url)
        self._place = self._url

    def facts(self) -> RemoteFacts:
        """Return what the host says of the file.

        Raises:
            PassingFailure: Another try may succeed.
            NotFound, SourceRefused, FailedPrecondition, PermissionDenied: None will.
        """
        with self._answer({"range": "bytes=0-0"}) as answer:
            etag = answer.header("etag")
            ranged = _CONTENT_RANGE.fullmatch(answer.header("content-range"))
            size = ranged[3] if ranged else answer.header("content-length")
            if ranged:
                answer.read_into(memoryview(bytearray(1)))
        if not size.isdigit():
            raise FailedPrecondition(
                f"{self._file.host} does not tell the size of the file.", "Fetch it from a host that does."
            )
        return RemoteFacts(int(size), ranged is not None, "" if etag.startswith("W/") else etag)

    @contextmanager
    def part(self, span: tuple[int, int], size_bytes: int, etag: str) -> Iterator[Answer]:
        """Yield the answer with the bytes from first to last position, inclusive, or with the whole file.

        Raises:
            ChangedFile: The file has another size or tag than before, or ranges are not taken any more.
            PassingFailure: Another try may succeed; also in the block.
            NotFound, SourceRefused, FailedPrecondition, PermissionDenied: None will.
        """
        headers = {"range": f"bytes={span[0]}-{span[1]}"} if span != (0, size_bytes - 1) else {}
        with self._answer(headers | ({"if-range": etag} if etag and headers else {})) as answer:
            _check_span(answer, span, size_bytes)
            yield answer

    @contextmanager
    def _answer(self, headers: dict[str, str]) -> Iterator[Answer]:
        place = self._place
        try:
            for _ in range(_MAX_REDIRECTS):
                own = self._file.headers if _origin(place) == _origin(self._url) else {}
                with self._connections.answer(place, {"accept-encoding": "identity", **headers, **own}) as answer:
                    location = answer.header("location")
                    if answer.status not in _REDIRECTS or not location:
                        self._place = place
                        self._check(answer)
                        yield answer
                        return
                place = self._redirected(place, location)
        except ForbiddenAddressError as error:
            raise PermissionDenied(str(error), "Name a host of the internet, or have the operator list it.") from error
        except BrokenConnectionError as error:
            self._place = self._url
            words = str(error).rstrip(".")
            raise PassingFailure(f"{self._file.host} does not answer, or breaks off: {words}.") from error
        raise FailedPrecondition(f"{self._file.host} redirects in a circle.", "Give the final address of the file.")

    def _redirected(self, place: httpx2.URL, location: str) -> httpx2.URL:
        try:
            target = place.join(location)
        except httpx2.InvalidURL as error:
            raise FailedPrecondition(
                f"{place.host} redirects to what is no address.", "Give the final address of the file."
            ) from error
        is_weaker = target.scheme != "https" and not (target.scheme == "http" and place.scheme == "http")
        is_inward = is_loopback(target.host) and not is_loopback(self._file.host)
        if is_weaker or (is_inward and target.host not in self._policy.trusted_hosts):
            raise PermissionDenied(
                f"{place.host} redirects to {target.scheme}://{target.host}, which is not followed from there.",
                "Give the final address of the file, of a host that may be asked.",
            )
        self._policy.check_host(target.host)
        return target

    def _check(self, answer: Answer) -> None:
        status, host = answer.status, self._file.host
        if answer.header("content-encoding").lower() not in ("", "identity"):
            raise FailedPrecondition(f"{host} compresses the file unasked.", "Fetch it from another host.")
        if status in (200, 206, 416):
            return
        if status in _REFUSED and self._place != self._url:
            # A signed address that has expired: its giver signs another.
            self._place = self._url
            raise PassingFailure(f"The address to which {host} redirects has expired.")
        if status in _REFUSED:
            raise SourceRefused(host, status)
        if status in _GONE:
            raise NotFound(f"{host} has no such file.", "Check its address.")
        if status in _PASSING:
            raise PassingFailure(f"{host} answers with status {status}.", _retry_after(answer))
        raise FailedPrecondition(f"{host} answers with status {status}.", "Check the address of the file.")


def _check_span(answer: Answer, span: tuple[int, int], size_bytes: int) -> None:
    ranged = _CONTENT_RANGE.fullmatch(answer.header("content-range"))
    size = ranged[3] if ranged else answer.header("content-length") or str(size_bytes)
    if size != str(size_bytes) and (ranged or answer.status == 200):
        raise ChangedFile(f"has {size} bytes, not the {size_bytes} that were announced")
    if answer.status == 206 and ranged and ranged[1]:
        if int(ranged[1]) != span[0] or int(ranged[2]) > span[1]:
            raise PassingFailure("The host sends another part than was asked for.")
    elif answer.status != 200 or span != (0, size_bytes - 1):
        raise ChangedFile("is another one each time that it is asked for")


def _origin(url: httpx2.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _retry_after(answer: Answer) -> float:
    value = answer.header("retry-after")
    return min(float(value), _MAX_RETRY_AFTER_SECONDS) if value.isdigit() else 0.0
