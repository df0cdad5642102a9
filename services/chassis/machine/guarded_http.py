"""HTTP to hosts that are not trusted: bounded bodies, checked addresses, no redirects."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable
from contextlib import suppress

import httpcore2
import httpx2

from services.chassis.database.lease import check_lease
from services.chassis.machine.proxies import proxy_for
from services.chassis.settings import is_loopback

_MAX_BODY_BYTES = 16 << 20
_CONNECT_SECONDS = 10.0
_IPV6_UNICAST = ipaddress.IPv6Network("2000::/3")
# What clouds and relays use though Python takes it for public; 2001::/23 has Teredo and 2002::/16 is 6to4.
_SPECIAL_NETWORKS = tuple(
    map(
        ipaddress.ip_network,
        ("168.63.129.16/32", "192.0.0.0/24", "192.88.99.0/24", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"),
    )
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Awaitable[list[str]]]


class BodyTooLongError(httpx2.DecodingError):
    """The answer is longer than any that is read, or tells no length that counts."""


class ForbiddenAddressError(httpx2.UnsupportedProtocol):
    """The host's name leads to an address that is not asked under this name."""


async def addresses_of(host: str, port: int) -> list[str]:
    """Return the addresses of a name, IPv4 first: more servers on loopback listen there."""
    try:
        entries = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise httpcore2.ConnectError(f"The name {host} leads nowhere.") from error
    return sorted(dict.fromkeys(str(entry[4][0]) for entry in entries), key=lambda address: ":" in address)


class GuardedTransport(httpx2.AsyncHTTPTransport):
    """Connects to addresses that were checked, and reads no more than 16 MiB of an answer.

    A connection is used again for the name alone under which it was made.
    """

    def __init__(
        self,
        trusted_hosts: Collection[str] = (),
        *,
        resolve: Resolve = addresses_of,
        uses_proxies: bool = False,
    ) -> None:
        """Hosts in `trusted_hosts` may be at any address, loopback names on this machine, others on the internet.

        A name that is asked by the operator's proxy, if `uses_proxies`, is resolved there.
        """
        context = httpx2.create_ssl_context()
        super().__init__(verify=context)
        self._context, self._trusted_hosts, self._uses_proxies = context, trusted_hosts, uses_proxies
        self._proxied: dict[str, httpx2.AsyncHTTPTransport] = {}
        # The transport takes no way to connect, though its pool does; connections in use are bounded by the callers.
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=context,
            max_connections=None,
            keepalive_expiry=httpx2.Limits().keepalive_expiry,
            network_backend=_CheckedNetwork(trusted_hosts, resolve),
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Return the answer, its body not read yet."""
        proxy = proxy_for(request.url.scheme, request.url.host) if self._uses_proxies else ""
        send = self._by(proxy, request.url.host).handle_async_request if proxy else super().handle_async_request
        response = await send(request)
        if response.headers.get("content-encoding", "identity").lower() not in ("", "identity"):
            await response.aclose()
            raise BodyTooLongError("The server compresses its answer, so that its length is not known.")
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        stream = _BoundedStream(response.stream)
        return httpx2.Response(
            response.status_code, headers=response.headers, stream=stream, extensions=response.extensions
        )

    def _by(self, proxy: str, host: str) -> httpx2.AsyncHTTPTransport:
        check_literal(host, self._trusted_hosts)
        if proxy not in self._proxied:
            self._proxied[proxy] = httpx2.AsyncHTTPTransport(verify=self._context, proxy=httpx2.Proxy(proxy))
        return self._proxied[proxy]

    async def __aexit__(self, *_error: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections, those to proxies too."""
        for transport in self._proxied.values():
            await transport.aclose()
        await super().aclose()


def open_client(
    trusted_hosts: Collection[str] = (),
    transport: httpx2.AsyncBaseTransport | None = None,
    *,
    uses_proxies: bool = False,
) -> httpx2.AsyncClient:
    """Return a client for foreign hosts; it follows no redirect. `transport` replaces the network."""
    return httpx2.AsyncClient(
        transport=transport or GuardedTransport(trusted_hosts, uses_proxies=uses_proxies),
        follow_redirects=False,
        trust_env=False,
        timeout=httpx2.Timeout(None, connect=_CONNECT_SECONDS),
        headers={"accept-encoding": "identity"},
        event_hooks={"request": [_check_lease]},
    )


async def _check_lease(_request: httpx2.Request) -> None:
    # A process that was frozen may wake with requests in hand that are another's by now.
    check_lease()


def is_public(text: str) -> bool:
    """Whether an address is a host of the internet: not private, shared, of a cloud's platform, or one in disguise."""
    address: _Address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or (ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else None)
        if inner is None and address not in _IPV6_UNICAST:
            return False
        address = inner or address
    return address.is_global and not address.is_multicast and not any(address in net for net in _SPECIAL_NETWORKS)


def is_inward(host: str) -> bool:
    """Whether a host is written as this machine, or as an address that is none of the internet."""
    with suppress(ValueError):
        return not is_public(host)
    return is_loopback(host)


def check_addresses(host: str, addresses: Iterable[str], trusted_hosts: Collection[str]) -> None:
    """Raise ForbiddenAddressError unless a name may lead to all of these addresses."""
    may_be = is_loopback if is_loopback(host) else is_public
    if host.lower() not in trusted_hosts and not all(map(may_be, addresses)):
        raise ForbiddenAddressError(f"The name {host} leads to an address that is not asked under this name.")


def check_literal(host: str, trusted_hosts: Collection[str]) -> None:
    """Raise ForbiddenAddressError for a host that is written as an address which may not be asked; for proxies."""
    with suppress(ValueError):
        check_addresses(host, [str(ipaddress.ip_address(host))], trusted_hosts)


class _BoundedStream(httpx2.AsyncByteStream):
    def __init__(self, inner: httpx2.AsyncByteStream) -> None:
        self._inner = inner

    async def __aiter__(self) -> AsyncIterator[bytes]:
        num_bytes = 0
        async for chunk in self._inner:
            num_bytes += len(chunk)
            if num_bytes > _MAX_BODY_BYTES:
                raise BodyTooLongError(f"The server's answer is longer than {_MAX_BODY_BYTES >> 20} MiB.")
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()


class _CheckedNetwork(httpcore2.AnyIOBackend):
    """Resolves a name once, checks what it leads to, and connects to those very addresses, one after the other."""

    def __init__(self, trusted_hosts: Collection[str], resolve: Resolve) -> None:
        self._trusted_hosts, self._resolve = trusted_hosts, resolve

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        end = time.monotonic() + (timeout or _CONNECT_SECONDS)
        addresses = await self._resolve(host, port)
        check_addresses(host, addresses, self._trusted_hosts)
        for number, address in enumerate(addresses):
            # One that swallows all packets leaves time for the others.
            seconds = max(end - time.monotonic(), 0.001) / (len(addresses) - number)
            try:
                return await super().connect_tcp(address, port, seconds, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                if number == len(addresses) - 1:
                    raise
        raise httpcore2.ConnectError(f"The name {host} leads nowhere.")
