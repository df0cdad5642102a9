"""Channels to other services: default deadlines, one retry rule, the server's own error classes raised back."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from weakref import WeakSet

import grpc
import grpc.aio
import structlog

from services.chassis.machine.caller import caller_metadata
from services.chassis.machine.parent import ServiceToken
from services.chassis.machine.tls import Pems, TlsFolder, client_credentials
from services.chassis.status import from_rpc_error
from services.chassis.telemetry import tracing

REQUEST_ID_KEY = "x-request-id"
CALLER_KEY = "x-caller"
DEADLINE_SECONDS = 30.0
MAX_MESSAGE_BYTES = 16 * 1024 * 1024
# A client pings this often, also without calls; a server that tolerated less would answer "too many pings".
KEEPALIVE_MS = 30_000
LEAST_PING_INTERVAL_MS = 10_000
MESSAGE_OPTIONS: list[tuple[str, Any]] = [
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_metadata_size", 16 * 1024),
]
# The environment's proxies are for the world outside; a service is on this machine or in this cluster.
DIRECT: tuple[str, Any] = ("grpc.enable_http_proxy", 0)
_IDEMPOTENT_PREFIXES = ("Get", "List", "Check")
_RETRIES = 3
_FIRST_BACKOFF_SECONDS = 0.2
_LAST_BACKOFF_SECONDS = 5.0
_deadline_factor: ContextVar[float] = ContextVar("deadline_factor", default=1.0)
_SERVICE_CONFIG = json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})
_OPTIONS: list[tuple[str, Any]] = [
    *MESSAGE_OPTIONS,
    DIRECT,
    ("grpc.keepalive_time_ms", KEEPALIVE_MS),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.service_config", _SERVICE_CONFIG),
    # The rule in `_UnaryCalls` is the only one that retries.
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    # A pod that is replaced has another address; by default the name is asked for again after 30 s at the earliest.
    ("grpc.dns_min_time_between_resolutions_ms", 1_000),
]


def open_channel(
    address: str,
    *,
    token: ServiceToken | None = None,
    tls: TlsFolder | None = None,
    deadline_seconds: float = DEADLINE_SECONDS,
    interceptors: Sequence[grpc.aio.ClientInterceptor] = (),
) -> grpc.aio.Channel:
    """Open a channel to `host:port`; call it inside a running event loop and `await channel.close()` at the end.

    Unary calls get `deadline_seconds` unless they pass `timeout=`; streams get none. Errors arrive as the classes of
    `services.chassis.errors`. Only methods named Get…, List… and Check… are retried, and only when the peer is away.
    Interceptors see each call before that. With `tls`, both sides show certificates.
    """
    chain = [*interceptors, _UnaryCalls(deadline_seconds, token)]

    def connect(pems: Pems | None) -> grpc.aio.Channel:
        if pems is None:
            return grpc.aio.insecure_channel(address, options=_OPTIONS, interceptors=chain)
        return grpc.aio.secure_channel(address, client_credentials(pems), options=_OPTIONS, interceptors=chain)

    return _Channel(connect, token, tls)


def open_blocking_channel(address: str, pems: Pems | None, *, server_name: str = "") -> grpc.Channel:
    """Open a channel for a thread, whose calls are raw: no retries, no deadline, no token.

    `server_name` is what the server's certificate is for, where that is not the host of the address.
    """
    if pems is None:
        return grpc.insecure_channel(address, options=[DIRECT])
    named = [("grpc.ssl_target_name_override", server_name)] if server_name else []
    return grpc.secure_channel(address, client_credentials(pems), options=[DIRECT, *named])


@contextmanager
def longer_deadlines(factor: float) -> Iterator[None]:
    """Give each unary call that begins in this block `factor` times its deadline."""
    token = _deadline_factor.set(factor)
    try:
        yield
    finally:
        _deadline_factor.reset(token)


class _UnaryCalls(grpc.aio.UnaryUnaryClientInterceptor):
    def __init__(self, deadline_seconds: float, token: ServiceToken | None) -> None:
        self._deadline_seconds, self._token = deadline_seconds, token

    async def intercept_unary_unary(
        self, continuation: Callable[..., Awaitable[Any]], client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        timeout = (client_call_details.timeout or self._deadline_seconds) * _deadline_factor.get()
        end = time.monotonic() + timeout
        attempts = _RETRIES if method_name(client_call_details).startswith(_IDEMPOTENT_PREFIXES) else 0
        for attempt in range(attempts + 1):
            details = _with(client_call_details, max(end - time.monotonic(), 0.001), self._token)
            call = await continuation(details, request)
            try:
                await call
                return call
            except grpc.aio.AioRpcError as error:
                wait = _backoff(attempt)
                last = attempt == attempts or time.monotonic() + wait >= end
                if last or error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise from_rpc_error(error) from None
            await asyncio.sleep(wait)
        raise AssertionError("unreachable")


class _Channel(grpc.aio.Channel):
    """A channel whose streams are ours; an interceptor's streams go on at the server until garbage is collected."""

    def __init__(
        self, connect: Callable[[Pems | None], grpc.aio.Channel], token: ServiceToken | None, tls: TlsFolder | None
    ) -> None:
        self._connect, self._token, self._tls = connect, token, tls
        self._pems = tls.pems() if tls else None
        self._newest = connect(self._pems)
        self._calls: WeakSet[Any] = WeakSet()
        self._retired: dict[asyncio.Task[None], grpc.aio.Channel] = {}

    @property
    def _inner(self) -> grpc.aio.Channel:
        """The connection with the certificate that is in the folder now."""
        if self._tls and self._tls.pems() is not self._pems:
            old, calls, self._pems = self._newest, self._calls, self._tls.pems()
            self._newest, self._calls = self._connect(self._pems), WeakSet()
            task = asyncio.ensure_future(_retire(old, calls))
            self._retired[task] = old
            task.add_done_callback(self._retired.pop)
        return self._newest

    async def __aenter__(self) -> _Channel:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()

    async def close(self, grace: float | None = None) -> None:
        retired = dict(self._retired)
        for task in retired:
            task.cancel()
        await asyncio.gather(*retired, return_exceptions=True)
        await asyncio.gather(*(channel.close(grace) for channel in (self._newest, *retired.values())))

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return self._inner.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self._inner.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self._inner.channel_ready()

    def unary_unary(self, *args: Any, **kwargs: Any) -> Any:
        return self._method("unary_unary", args, kwargs)

    def stream_unary(self, *args: Any, **kwargs: Any) -> Any:
        return self._method("stream_unary", args, kwargs)

    def stream_stream(self, *args: Any, **kwargs: Any) -> Any:
        call = self._method("stream_stream", args, kwargs)
        return lambda requests, metadata=None, **options: call(
            requests, metadata=_metadata(metadata, self._token), **options
        )

    def unary_stream(self, *args: Any, **kwargs: Any) -> Any:
        call = self._method("unary_stream", args, kwargs)

        def start(request: Any, *, metadata: Any = None, **options: Any) -> _Stream:
            return _Stream(call(request, metadata=_metadata(metadata, self._token), **options))

        return start

    def _method(self, kind: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Callable[..., Any]:
        """Return what makes calls of a method; a stub keeps it for longer than a certificate may last."""
        if self._tls is None:
            method: Callable[..., Any] = getattr(self._newest, kind)(*args, **kwargs)
            return method

        def start(request: Any, **options: Any) -> Any:
            call = getattr(self._inner, kind)(*args, **kwargs)(request, **options)
            self._calls.add(call)
            call.add_done_callback(self._calls.discard)
            return call

        return start


async def _retire(channel: grpc.aio.Channel, calls: WeakSet[Any]) -> None:
    """Close a channel whose certificate was replaced as soon as the calls that it has are over."""
    # `close` with a grace refuses the retries of these calls, and when cancelled leaves them to nobody.
    ended = asyncio.Event()
    for call in calls:
        call.add_done_callback(lambda _call: ended.set())
    while calls:
        ended.clear()
        await ended.wait()
    await channel.close()


class _Stream:
    """The answers of one streaming call; the server's work ends when the last reader lets go of it."""

    def __init__(self, call: Any) -> None:
        self._call = call

    def __aiter__(self) -> _Stream:
        return self

    async def __anext__(self) -> Any:
        try:
            answer = await self._call.read()
        except asyncio.CancelledError:
            # While the request is being sent, grpc.aio lets the call go on.
            self.cancel()
            raise
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None
        if answer is grpc.aio.EOF:
            raise StopAsyncIteration
        return answer

    def cancel(self) -> bool:
        """End the call now; say whether it was still going."""
        return bool(self._call.cancel())

    async def aclose(self) -> None:
        """End the call now."""
        self.cancel()

    def __del__(self) -> None:
        self.cancel()


def _metadata(own: Any, token: ServiceToken | None) -> grpc.aio.Metadata:
    metadata = grpc.aio.Metadata(*(own or ()))
    request_id = structlog.contextvars.get_contextvars().get("request_id")
    if request_id and metadata.get(REQUEST_ID_KEY) is None:
        metadata.add(REQUEST_ID_KEY, str(request_id))
    for entry in tracing.carried().items():
        metadata.add(*entry)
    if token:
        metadata.add(*token.metadata)
        for entry in caller_metadata(token):
            metadata.add(*entry)
    return metadata


def _with(
    details: grpc.aio.ClientCallDetails, timeout: float, token: ServiceToken | None
) -> grpc.aio.ClientCallDetails:
    metadata = _metadata(details.metadata, token)
    return grpc.aio.ClientCallDetails(details.method, timeout, metadata, details.credentials, details.wait_for_ready)


def method_name(details: grpc.aio.ClientCallDetails) -> str:
    """Return the name of the RPC that is called, without its service."""
    method = details.method.decode() if isinstance(details.method, bytes) else details.method
    return method.rsplit("/", 1)[-1]


def _backoff(attempt: int) -> float:
    ceiling = min(_FIRST_BACKOFF_SECONDS * 2.0**attempt, _LAST_BACKOFF_SECONDS)
    return ceiling * (0.5 + random.random() / 2)
