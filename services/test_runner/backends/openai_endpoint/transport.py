"""HTTP to endpoints that are not trusted: bounded bodies, checked addresses, no redirects."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator, Collection

import httpx2

MAX_BODY_BYTES = 16 << 20
_CONNECT_SECONDS = 10.0


class BodyTooLongError(httpx2.DecodingError):
    """The endpoint's answer is longer than any that is read."""


class ForbiddenAddressError(httpx2.UnsupportedProtocol):
    """The endpoint's name leads to an address that is never asked."""


class GuardedTransport(httpx2.AsyncBaseTransport):
    """Connects to the very address that was checked, and reads no more than `max_body_bytes` of an answer."""

    def __init__(self, trusted_hosts: Collection[str] = (), max_body_bytes: int = MAX_BODY_BYTES) -> None:
        """Hosts in `trusted_hosts` may be at any address."""
        self._trusted_hosts = trusted_hosts
        self._max_body_bytes = max_body_bytes
        self._inner = httpx2.AsyncHTTPTransport(limits=httpx2.Limits(max_connections=None))

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Return the answer, its body not read yet."""
        host = request.url.host
        address = await _address_of(request.url, any_address=host.lower() in self._trusted_hosts)
        # The name stays in the header Host and in the TLS handshake.
        request.url = request.url.copy_with(host=address)
        request.extensions = {**request.extensions, "sni_hostname": host}
        response = await self._inner.handle_async_request(request)
        if response.headers.get("content-encoding", "identity").lower() not in ("", "identity"):
            await response.aclose()
            raise BodyTooLongError("The endpoint compresses its answer, so that its length is not known.")
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        stream = _BoundedStream(response.stream, self._max_body_bytes)
        return httpx2.Response(
            response.status_code, headers=response.headers, stream=stream, extensions=response.extensions
        )

    async def aclose(self) -> None:
        """Close all connections."""
        await self._inner.aclose()


def open_client(
    trusted_hosts: Collection[str] = (), transport: httpx2.AsyncBaseTransport | None = None
) -> httpx2.AsyncClient:
    """Return a client for endpoints; it follows no redirect and knows no proxy. `transport` replaces the network."""
    return httpx2.AsyncClient(
        transport=transport or GuardedTransport(trusted_hosts),
        follow_redirects=False,
        trust_env=False,
        timeout=httpx2.Timeout(None, connect=_CONNECT_SECONDS),
        headers={"accept-encoding": "identity"},
    )


class _BoundedStream(httpx2.AsyncByteStream):
    def __init__(self, inner: httpx2.AsyncByteStream, max_bytes: int) -> None:
        self._inner, self._max_bytes = inner, max_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        num_bytes = 0
        async for chunk in self._inner:
            num_bytes += len(chunk)
            if num_bytes > self._max_bytes:
                raise BodyTooLongError(f"The endpoint's answer is longer than {self._max_bytes >> 20} MiB.")
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()


async def _address_of(url: httpx2.URL, *, any_address: bool) -> str:
    port = url.port or (443 if url.scheme == "https" else 80)
    try:
        entries = await asyncio.get_running_loop().getaddrinfo(url.host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise httpx2.ConnectError(f"The name {url.host} leads nowhere.") from error
    addresses = [str(entry[4][0]) for entry in entries]
    if not any_address and any(_is_forbidden(address) for address in addresses):
        raise ForbiddenAddressError(f"The name {url.host} leads to an address that is never asked.")
    # Loopback servers often listen on IPv4 alone.
    return min(addresses, key=lambda address: ":" in address)


def _is_forbidden(text: str) -> bool:
    """Whether it is the place of a cloud's metadata, or no host at all."""
    address = ipaddress.ip_address(text.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None) or address
    return bool(mapped.is_link_local or mapped.is_multicast or mapped.is_unspecified or mapped.is_reserved)
