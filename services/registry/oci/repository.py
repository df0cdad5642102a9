"""One repository of a registry: manifests by tag or digest, blobs by digest, uploads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urljoin, urlsplit

import httpx2

from services.chassis.errors import (
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ServiceError,
    Unavailable,
)
from services.chassis.settings import is_loopback
from services.chassis.wire.names import shown
from services.registry.oci.challenge import answer_challenge, is_login, read_challenge
from services.registry.ports import Progress

_CHUNK_BYTES = 64 * 1024**2
_BLOCK_BYTES = 1024**2
_MAX_REDIRECTS = 5
_MAX_TRIES = 4
# A registry may hash or move a whole blob before it answers the last request.
_COMMIT_SECONDS = 900.0
_SECONDS = 60.0
_REDIRECTS = (301, 302, 303, 307, 308)

Content = Callable[[], AsyncIterator[bytes]]
Sent = Callable[[int], Awaitable[None]]
CheckHost = Callable[[str], None]


@dataclass(frozen=True)
class FetchedManifest:
    """A manifest's bytes, and the media type that the registry gives them."""

    content: bytes
    media_type: str


class Blob(Protocol):
    """What names a blob."""

    @property
    def digest(self) -> str:
        """`sha256:` and 64 hexadecimal digits."""

    @property
    def size(self) -> int:
        """Its bytes."""


class Repository:
    """Asks one repository, with the login that it asks for; nobody but its host ever sees the secret or a token.

    Args:
        client: Sends the requests; it follows no redirects itself.
        url: Such as `https://registry.example/v2/library/qwen3`.
        secret: `user:password`, a token, or empty.
        check_host: Raises where a redirect leads to a host that may not be asked.
    """

    def __init__(
        self, client: httpx2.AsyncClient, url: str, secret: str = "", *, check_host: CheckHost = lambda _: None
    ) -> None:
        self._client, self._url, self._secret, self._check_host = client, url, secret, check_host
        self._place = urlsplit(url)
        if secret and self._place.scheme != "https" and not is_loopback(self._place.hostname or ""):
            raise InvalidArgument(
                f"A secret is not sent to {self.host} over plain http.", "Use a registry with https, or no secret."
            )
        self._authorization = f"Bearer {secret}" if secret and not is_login(secret) else ""

    @property
    def host(self) -> str:
        """The registry's host, with its port."""
        return self._place.netloc

    async def manifest(self, reference: str, media_types: tuple[str, ...]) -> FetchedManifest | None:
        """Return the manifest under a tag or digest, or None when there is none.

        Raises:
            PermissionDenied: The registry does not let this caller read it.
            Unavailable: The registry does not answer.
        """
        headers = {"accept": ", ".join(media_types)}
        response = await self._send("GET", f"{self._url}/manifests/{reference}", headers=headers)
        if response.status_code == httpx2.codes.NOT_FOUND:
            return None
        self._check(response, f"tell of {reference}")
        return FetchedManifest(response.content, response.headers.get("content-type", "").partition(";")[0].strip())

    def blob_url(self, digest: str) -> str:
        """Return where a blob is read."""
        return f"{self._url}/blobs/{digest}"

    async def read_headers(self, digest: str) -> dict[str, str]:
        """Return the headers with which a blob is read, a fresh login among them where one is needed.

        Raises:
            NotFound: The registry has no such blob.
        """
        response = await self._send("HEAD", self.blob_url(digest))
        self._check(response, f"hand out the blob {digest}")
        return {"authorization": self._authorization} if self._authorization else {}

    async def put_manifest(self, reference: str, content: bytes, media_type: str) -> None:
        """Store a manifest under a tag; the registry refuses one whose blobs it does not have."""
        headers = {"content-type": media_type}
        url = f"{self._url}/manifests/{reference}"
        response = await self._send("PUT", url, headers=headers, content=_bytes(content), seconds=_COMMIT_SECONDS)
        self._check(response, "take the manifest")

    async def put_blobs(self, blobs: Sequence[tuple[Path, Blob]], progress: Progress) -> None:
        """Upload files in chunks, unless the registry has them; a chunk that is lost goes on where it broke off.

        Args:
            blobs: Each file with its digest, which the registry checks, and size.
            progress: Is told after each chunk how many bytes of all the registry has.

        Raises:
            FailedPrecondition: The registry got other bytes than the digest says.
            PermissionDenied: This caller may not write there.
            Unavailable: The registry does not answer.
        """
        done, total = 0, sum(blob.size for _, blob in blobs)
        for path, blob in blobs:
            start = done

            async def sent(count: int, start: int = start) -> None:
                await progress(start + count, total)

            response = await self._send("HEAD", self.blob_url(blob.digest))
            if response.status_code != httpx2.codes.OK:
                await self._upload(path, blob.digest, blob.size, sent)
            done += blob.size
            await progress(done, total)

    async def put_bytes(self, content: bytes, digest: str) -> None:
        """Upload a small blob, unless the registry has it."""
        response = await self._send("HEAD", self.blob_url(digest))
        if response.status_code != httpx2.codes.OK:
            place = await self._begin()
            headers = {"content-type": "application/octet-stream", "content-length": str(len(content))}
            await self._commit(place, digest, headers, _bytes(content))

    async def _begin(self) -> str:
        response = await self._send("POST", f"{self._url}/blobs/uploads/", headers={"content-length": "0"})
        self._check(response, "take an upload")
        return self._location(response)

    async def _commit(
        self, place: str, digest: str, headers: Mapping[str, str], content: Content | None = None
    ) -> None:
        url = str(httpx2.URL(place).copy_merge_params({"digest": digest}))
        response = await self._send("PUT", url, headers=headers, content=content, seconds=_COMMIT_SECONDS)
        self._check(response, "accept the blob")

    async def _upload(self, path: Path, digest: str, size: int, sent: Sent) -> None:
        place, offset, tries = await self._begin(), 0, 0
        while offset < size:
            try:
                place, offset = await self._put_chunk(place, path, offset, size)
                tries = 0
                await sent(offset)
            except Unavailable:
                tries += 1
                if tries == _MAX_TRIES:
                    raise
                await asyncio.sleep(0.5 * 2**tries)
                place, offset = await self._progress(place)
        await self._commit(place, digest, {"content-length": "0"})

    async def _put_chunk(self, place: str, path: Path, offset: int, size: int) -> tuple[str, int]:
        end = min(offset + _CHUNK_BYTES, size)
        headers = {
            "content-type": "application/octet-stream",
            "content-length": str(end - offset),
            "content-range": f"{offset}-{end - 1}",
        }
        response = await self._send("PATCH", place, headers=headers, content=lambda: _read(path, offset, end))
        self._check(response, "take a chunk")
        return self._location(response), end

    async def _progress(self, place: str) -> tuple[str, int]:
        """Return where an upload goes on, and how many bytes the registry has."""
        response = await self._send("GET", place)
        self._check(response, "tell of an upload")
        last = response.headers.get("range", "").rpartition("-")[2]
        # A registry tells 0-0 both for one byte and for none; none is right unless chunks had one byte.
        return self._location(response, place), int(last) + 1 if last.isdigit() and last != "0" else 0

    def _location(self, response: httpx2.Response, default: str = "") -> str:
        location = response.headers.get("location") or default
        if not location:
            raise FailedPrecondition(
                f"The registry {self.host} does not say where to upload.", "Use a registry that speaks OCI's protocol."
            )
        return urljoin(self._url, location)

    async def _send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: Content | None = None,
        seconds: float = _SECONDS,
    ) -> httpx2.Response:
        """Send a request; a login that is asked for is given once, and what is read may lie elsewhere."""
        for _ in range(_MAX_REDIRECTS):
            response = await self._once(method, url, headers, content, seconds)
            if response.status_code == httpx2.codes.UNAUTHORIZED and self._is_own(url):
                await self._log_in(response)
                response = await self._once(method, url, headers, content, seconds)
            if response.status_code not in _REDIRECTS or "location" not in response.headers:
                return response
            url = self._redirected(url, response.headers["location"])
        raise FailedPrecondition(f"The registry {self.host} redirects without end.", "Use another registry.")

    async def _once(
        self, method: str, url: str, headers: Mapping[str, str] | None, content: Content | None, seconds: float
    ) -> httpx2.Response:
        own = {"authorization": self._authorization} if self._authorization and self._is_own(url) else {}
        body: dict[str, Any] = {"content": content()} if content else {}
        timeout = httpx2.Timeout(seconds, connect=10)
        try:
            return await self._client.request(method, url, headers={**(headers or {}), **own}, timeout=timeout, **body)
        except httpx2.HTTPError as error:
            host = urlsplit(url).netloc
            raise Unavailable(
                f"The registry's host {host} does not answer ({str(error).rstrip('.') or type(error).__name__}).",
                "Try again later.",
            ) from error

    async def _log_in(self, response: httpx2.Response) -> None:
        challenge = read_challenge(response.headers.get("www-authenticate", ""))
        if self._secret and not is_login(self._secret):
            raise PermissionDenied(f"The registry {self.host} does not take the token.", "Check the secret.")
        self._authorization = await answer_challenge(self._client, challenge, self._url, self._secret)

    def _redirected(self, url: str, location: str) -> str:
        target = urljoin(url, location)
        if urlsplit(url).scheme == "https" and urlsplit(target).scheme != "https":
            raise FailedPrecondition(f"The registry {self.host} redirects to plain http.", "Use another registry.")
        self._check_host(urlsplit(target).hostname or "")
        return target

    def _is_own(self, url: str) -> bool:
        place = urlsplit(url)
        return (place.scheme, place.netloc) == (self._place.scheme, self._place.netloc)

    def _check(self, response: httpx2.Response, deed: str) -> None:
        if response.is_success:
            return
        kinds: dict[int, tuple[type[ServiceError], str]] = {
            401: (PermissionDenied, "Name a secret that holds user:password, or a token, of one who may."),
            403: (PermissionDenied, "Use a secret of one who may."),
            404: (NotFound, "Check the name and the tag."),
            429: (Unavailable, "Try again later."),
        }
        is_away = response.status_code >= httpx2.codes.INTERNAL_SERVER_ERROR
        kind, next_step = kinds.get(
            response.status_code, (Unavailable if is_away else FailedPrecondition, "Ask the registry's operator.")
        )
        words = _words(response)
        raise kind(f"The registry {self.host} does not {deed} (status {response.status_code}{words}).", next_step)


def _words(response: httpx2.Response) -> str:
    try:
        document = response.json()
        message = document["errors"][0]["message"] if "errors" in document else document["error"]
    except (ValueError, LookupError, TypeError):
        return ""
    return f": {shown(str(message))}"


def _bytes(content: bytes) -> Content:
    async def stream() -> AsyncIterator[bytes]:
        yield content

    return stream


async def _read(path: Path, start: int, end: int) -> AsyncIterator[bytes]:
    with path.open("rb") as stream:
        stream.seek(start)
        while start < end and (block := await asyncio.to_thread(stream.read, min(_BLOCK_BYTES, end - start))):
            start += len(block)
            yield block
