"""Blocking connections to hosts that are not trusted: large files take half the computing of an event loop's.

Addresses are checked as `GuardedTransport` does, and the operator's proxies are used.
"""

from __future__ import annotations

import base64
import select
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from ssl import SSLContext
from urllib.parse import unquote, urlsplit

import httpx2

from services.chassis.database.lease import check_lease
from services.chassis.machine.guarded_http import check_addresses, check_literal
from services.chassis.machine.proxies import proxy_for

_CONNECT_SECONDS = 10.0
_PORTS = {"http": 80, "https": 443}

_Origin = tuple[str, str, int]


class BrokenConnectionError(Exception):
    """The host was not reached, or its connection broke; the message says how."""


class Answer:
    """What a host answers; its body is read piece by piece."""

    def __init__(self, response: HTTPResponse) -> None:
        self._response = response
        self.status = response.status
        self._num_left = int(self.header("content-length")) if self.header("content-length").isdigit() else None

    def header(self, name: str) -> str:
        """Return a header's value; empty for none."""
        return str(self._response.getheader(name, ""))

    @property
    def is_whole(self) -> bool:
        """Whether all of the body was read."""
        return self._num_left == 0 or self._response.isclosed()

    def read_into(self, buffer: memoryview) -> int:
        """Put what has come of the body, at least a byte, into the buffer; the number is returned, 0 at the end.

        Raises:
            BrokenConnectionError: The connection broke.
        """
        with _break_told():
            if self._num_left is None or self._response.chunked:
                piece = self._response.read1(len(buffer))
                num_read = len(piece)
                buffer[:num_read] = piece
            else:
                # The response's own methods copy once more.
                num_read = self._response.fp.readinto1(buffer[: self._num_left]) if self._num_left else 0
        if self._num_left is not None:
            self._num_left -= num_read
        return num_read

    def close(self) -> None:
        """Read no further."""
        self._response.close()


class Connections:
    """Connections for several threads; each is used again for the name under which it was made.

    Args:
        trusted_hosts: Names that may lead to any address.
        stall_seconds: A connection on which nothing comes for so long is broken.
    """

    def __init__(self, trusted_hosts: Collection[str], stall_seconds: float) -> None:
        self._trusted_hosts, self._stall_seconds = trusted_hosts, stall_seconds
        self._idle: dict[_Origin, list[tuple[HTTPConnection, socket.socket]]] = defaultdict(list)
        self._sockets: set[socket.socket] = set()
        self._lock = threading.Lock()

    @contextmanager
    def answer(self, url: httpx2.URL, headers: Mapping[str, str]) -> Iterator[Answer]:
        """Yield what the host answers to a GET; it follows no redirect.

        Raises:
            BrokenConnectionError: It does not answer; also in the block.
            ForbiddenAddressError: Its name leads to an address that is not asked under it.
            LeaseOver: The job belongs to another by now.
        """
        check_lease()
        origin = (url.scheme, url.host, url.port or _PORTS[url.scheme])
        proxy = proxy_for(url.scheme, url.host)
        connection, raw = self._idle_one(origin) or self._new(origin, proxy)
        is_reusable = False
        try:
            with _break_told():
                answer = Answer(_ask(connection, url, headers, proxy))
            yield answer
            is_reusable = answer.is_whole and connection.sock is not None
            answer.close()
        finally:
            if is_reusable:
                self._idle[origin].append((connection, raw))
            else:
                self._sockets.discard(raw)
                connection.close()
                raw.close()

    def interrupt(self) -> None:
        """Break all connections, so that no thread waits on one any longer."""
        for raw in tuple(self._sockets):
            with suppress(OSError):
                # The method of TLS would forget what its reader needs.
                socket.socket.shutdown(raw, socket.SHUT_RDWR)

    def close(self) -> None:
        """Close all connections, none of which is in use."""
        for connection, _ in (kept for each in self._idle.values() for kept in each):
            connection.close()

    def _idle_one(self, origin: _Origin) -> tuple[HTTPConnection, socket.socket] | None:
        with self._lock:
            while kept := self._idle[origin]:
                connection, raw = kept.pop()
                poll = select.poll()
                poll.register(raw, select.POLLIN)
                # What can be read though nothing was asked is the host's goodbye.
                if not poll.poll(0):
                    return connection, raw
                self._sockets.discard(raw)
                connection.close()
        return None

    def _new(self, origin: _Origin, proxy: str) -> tuple[HTTPConnection, socket.socket]:
        with _break_told():
            connection = self._by_proxy(origin, proxy) if proxy else self._direct(origin)
            raw: socket.socket = connection.sock
            raw.settimeout(self._stall_seconds)
        self._sockets.add(raw)
        return connection, raw

    def _direct(self, origin: _Origin) -> HTTPConnection:
        scheme, host, port = origin
        connection = HTTPConnection(host, port)
        raw = _dial(host, port, self._trusted_hosts)
        connection.sock = self._context.wrap_socket(raw, server_hostname=host) if scheme == "https" else raw
        return connection

    def _by_proxy(self, origin: _Origin, proxy: str) -> HTTPConnection:
        scheme, host, port = origin
        check_literal(host, self._trusted_hosts)
        place = urlsplit(proxy)
        address = (place.hostname or "", place.port or _PORTS["http"])
        if scheme == "http":
            connection = HTTPConnection(*address, timeout=_CONNECT_SECONDS)
        else:
            connection = HTTPSConnection(*address, timeout=_CONNECT_SECONDS, context=self._context)
            connection.set_tunnel(host, port, headers=_login(proxy))
        connection.connect()
        return connection

    @cached_property
    def _context(self) -> SSLContext:
        return httpx2.create_ssl_context()


def _ask(connection: HTTPConnection, url: httpx2.URL, headers: Mapping[str, str], proxy: str) -> HTTPResponse:
    is_forwarded = bool(proxy) and url.scheme == "http"
    target = url.raw_path.decode("ascii")
    place = url.netloc.decode("ascii")
    connection.putrequest("GET", f"http://{place}{target}" if is_forwarded else target, skip_host=True)
    for name, value in ({"Host": place} | (_login(proxy) if is_forwarded else {}) | dict(headers)).items():
        connection.putheader(name, value)
    connection.endheaders()
    return connection.getresponse()


def _login(proxy: str) -> dict[str, str]:
    place = urlsplit(proxy)
    if not place.username:
        return {}
    login = f"{unquote(place.username)}:{unquote(place.password or '')}"
    return {"Proxy-Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"}


def _dial(host: str, port: int, trusted_hosts: Collection[str]) -> socket.socket:
    """Connect to the very addresses that were checked, one after the other, IPv4 first."""
    end = time.monotonic() + _CONNECT_SECONDS
    try:
        entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ConnectionError(f"The name {host} leads nowhere") from error
    addresses = sorted(dict.fromkeys(str(entry[4][0]) for entry in entries), key=lambda address: ":" in address)
    check_addresses(host, addresses, trusted_hosts)
    failure = OSError(f"The name {host} leads nowhere")
    for number, address in enumerate(addresses):
        # One that swallows all packets leaves time for the others.
        seconds = max(end - time.monotonic(), 0.001) / (len(addresses) - number)
        try:
            return socket.create_connection((address, port), timeout=seconds)
        except OSError as error:
            failure = error
    raise failure


@contextmanager
def _break_told() -> Iterator[None]:
    try:
        yield
    except (OSError, HTTPException, ValueError) as error:
        raise BrokenConnectionError(str(error) or type(error).__name__) from error
