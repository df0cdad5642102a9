"""What happens around every RPC that a server answers: request id, checks, telemetry, log record, error translation."""

from __future__ import annotations

import asyncio
import inspect
import re
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeAlias

import grpc
import grpc.aio
import structlog
from google.protobuf.message import DecodeError, Message

from services.chassis.channel import CALLER_KEY, REQUEST_ID_KEY
from services.chassis.errors import Busy, Internal, InvalidArgument, ServiceError, Unavailable
from services.chassis.machine.caller import serve_for, told_in
from services.chassis.machine.parent import ServiceToken
from services.chassis.status import from_exception, to_status
from services.chassis.telemetry import FAULTS, Telemetry, tracing
from services.chassis.wire import check
from services.chassis.wire.paging import serialized_page

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]
"""What gRPC passes to each RPC beside the request."""

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
# Probes of the kubelet carry no token.
_HEALTH = "grpc.health.v1.Health"
_QUIET_SERVICES = ("grpc.health.", "grpc.reflection.")
# A stream that follows a job can be taken up again after its last event, so it need not outlive the drain.
_WATCH = "Watch"
_LIST = "List"
_UNDECODABLE = object()
_log = structlog.get_logger()


def caller_of(context: Context) -> str:
    """Return the name of whom a call is made for: as the peer says, or else the peer's own connection."""
    return _metadata(context, CALLER_KEY) or str(context.peer())


class CallLimit:
    """How many calls are answered at once; health and reflection do not count.

    Streams that follow a job are long and cost little, so they are counted by themselves.
    """

    def __init__(self, max_calls: int, max_watches: int) -> None:
        self._most = {True: max_watches, False: max_calls}
        self._counts = {True: 0, False: 0}

    @contextmanager
    def counted(self, service: str, method: str) -> Iterator[None]:
        """Count a call for the length of the block.

        Raises:
            Busy: As many as allowed are being answered.
        """
        if service.startswith(_QUIET_SERVICES):
            yield
            return
        is_watch = method.startswith(_WATCH)
        if self._counts[is_watch] >= self._most[is_watch]:
            kind = "streams are open" if is_watch else "calls are being answered"
            raise Busy(f"{self._most[is_watch]} {kind}, which is the limit.")
        self._counts[is_watch] += 1
        try:
            yield
        finally:
            self._counts[is_watch] -= 1


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Wraps the behaviour of every method; knows nothing of any service."""

    def __init__(
        self,
        telemetry: Telemetry,
        limit: CallLimit,
        draining: asyncio.Event | None = None,
        token: ServiceToken | None = None,
    ) -> None:
        self._telemetry, self._limit, self._token = telemetry, limit, token
        self._draining = draining or asyncio.Event()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Return the method's handler with the call's frame around it."""
        method = await continuation(handler_call_details)
        if method is None:
            return None
        _, service, name = handler_call_details.method.split("/")
        frame = _Frame(self._telemetry, self._limit, service, name)
        frame.told = told_in(handler_call_details.invocation_metadata or (), self._token)
        if self._token and service != _HEALTH and not self._token.is_in(handler_call_details.invocation_metadata or ()):
            return grpc.stream_stream_rpc_method_handler(_refusal(frame))
        make = _STREAMED if method.response_streaming else _UNARY
        behaviour, build = make[method.request_streaming](method)
        if name.startswith(_WATCH):
            behaviour = _until(self._draining, behaviour)
        serializer = method.response_serializer
        if name.startswith(_LIST) and serializer:
            behaviour, serializer = _paged(behaviour, serializer), None
        wrapped = _wrap_stream(behaviour, frame) if method.response_streaming else _wrap_unary(behaviour, frame)
        return build(
            wrapped, request_deserializer=_decoding(method.request_deserializer), response_serializer=serializer
        )


_UNARY: dict[bool, Callable[[Any], tuple[Any, Any]]] = {
    False: lambda method: (method.unary_unary, grpc.unary_unary_rpc_method_handler),
    True: lambda method: (method.stream_unary, grpc.stream_unary_rpc_method_handler),
}
_STREAMED: dict[bool, Callable[[Any], tuple[Any, Any]]] = {
    False: lambda method: (method.unary_stream, grpc.unary_stream_rpc_method_handler),
    True: lambda method: (method.stream_stream, grpc.stream_stream_rpc_method_handler),
}


def _wrap_unary(behaviour: Callable[..., Any], frame: _Frame) -> Callable[..., Any]:
    async def answer(request: Any, context: Context) -> Any:
        async with frame.around(context):
            request = _checked(request)
            return await behaviour(request, context)

    return answer


def _wrap_stream(behaviour: Callable[..., Any], frame: _Frame) -> Callable[..., Any]:
    if not inspect.isasyncgenfunction(behaviour):
        return _wrap_unary(behaviour, frame)

    async def answer(request: Any, context: Context) -> AsyncIterator[Any]:
        async with frame.around(context):
            request = _checked(request)
            async for response in behaviour(request, context):
                yield response

    return answer


def _paged(behaviour: Callable[..., Any], serialize: Callable[[Message], bytes]) -> Callable[..., Any]:
    async def answer(request: Any, context: Context) -> bytes:
        return await serialized_page(request, lambda page_request: behaviour(page_request, context), serialize)

    return answer


def _refusal(frame: _Frame) -> Callable[..., Any]:
    async def refuse(_requests: Any, context: Context) -> None:
        async with frame.around(context):
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "The call carries no token of this installation.")

    return refuse


def _decoding(deserialize: Callable[[bytes], Any] | None) -> Callable[[bytes], Any] | None:
    if deserialize is None:
        return None

    def decode(content: bytes) -> Any:
        try:
            return deserialize(content)
        except DecodeError:
            # gRPC would answer UNKNOWN with the library's words; inside the call's frame it becomes an error of ours.
            return _UNDECODABLE

    return decode


def _checked(request: Any) -> Any:
    if request is _UNDECODABLE:
        raise InvalidArgument(
            "The request is no message of this method, or a text in it is not UTF-8.",
            "Send it as the contract of this release has it.",
        )
    if hasattr(request, "__aiter__"):
        return _each_checked(request)
    if isinstance(request, Message):
        check(request)
    return request


async def _each_checked(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for request in requests:
        yield _checked(request)


def _until(draining: asyncio.Event, behaviour: Callable[..., Any]) -> Callable[..., Any]:
    async def answer(request: Any, context: Context) -> AsyncIterator[Any]:
        task, is_sending = asyncio.current_task(), False

        async def end() -> None:
            await draining.wait()
            # A call that is cancelled while it sends ends without a status: it looks for itself when it has sent.
            if task is not None and not is_sending:
                task.cancel()

        ending = asyncio.create_task(end())
        try:
            async for response in behaviour(request, context):
                is_sending = True
                yield response
                is_sending = False
                if draining.is_set():
                    raise _stopping()
        except asyncio.CancelledError:
            if not draining.is_set():
                raise
            raise _stopping() from None
        finally:
            ending.cancel()

    return answer


def _stopping() -> Unavailable:
    return Unavailable("The service is stopping.", "Watch again after the last event that came.")


class _Frame:
    def __init__(self, telemetry: Telemetry, limit: CallLimit, service: str, method: str) -> None:
        self._telemetry, self._limit = telemetry, limit
        self.told = told_in((), None)
        self._service, self._method, self._name = service, method, f"{service}/{method}"
        self._is_quiet = service.startswith(_QUIET_SERVICES)

    @asynccontextmanager
    async def around(self, context: Context) -> AsyncIterator[None]:
        request_id = _metadata(context, REQUEST_ID_KEY) or uuid.uuid4().hex
        structlog.contextvars.bind_contextvars(request_id=request_id)
        serve_for(self.told)
        self._telemetry.rpc_started(self._service, self._method)
        start = time.monotonic()
        code = "OK"
        parent = _metadata(context, tracing.TRACEPARENT)
        # A training's reports, every two seconds, would fill its trace; each look of a test runner would begin one.
        is_poll = self._method == "ReportAttempt" or (self._method == "ListDeployments" and not parent)
        with tracing.span(self._name, "SERVER", parent=parent, is_wanted=not (self._is_quiet or is_poll)) as facts:
            try:
                with self._limit.counted(self._service, self._method):
                    yield
                code = _set_code(context) or code
            except (asyncio.CancelledError, GeneratorExit):
                code = "CANCELLED"
                raise
            except grpc.aio.AbortError:
                code = _set_code(context) or "UNKNOWN"
                raise
            except Exception as error:
                known = from_exception(error)
                code = known.code if known else "INTERNAL"
                await _abort(context, known or _unknown(error, request_id))
            finally:
                seconds = time.monotonic() - start
                self._telemetry.rpc_ended(self._service, self._method, code=code, seconds=seconds)
                facts.attributes["rpc.response.status_code"], facts.error = code, code if code in FAULTS else ""
                self._log(code, seconds)

    def _log(self, code: str, seconds: float) -> None:
        if not self._is_quiet:
            write = _log.debug if code in ("OK", "CANCELLED") else _log.info
            write("rpc", rpc=self._name, code=code, seconds=round(seconds, 4))


async def _abort(context: Context, error: ServiceError) -> None:
    status = to_status(error)
    await context.abort(status.code, status.message, status.trailing_metadata)


def _unknown(error: Exception, request_id: str) -> Internal:
    _log.error("rpc_failed", exc_info=error)
    return Internal(
        f"The service met an unexpected error (request {request_id}).",
        "Look for this request in the service's log.",
        request_id=request_id,
    )


def _metadata(context: Context, name: str) -> str:
    """Return a name that the call brings with it; empty where it brings none, or something else."""
    for key, value in context.invocation_metadata() or ():
        if key == name and isinstance(value, str) and _NAME.fullmatch(value):
            return value
    return ""


def _set_code(context: Context) -> str:
    code: Any = context.code()
    if isinstance(code, grpc.StatusCode):
        return code.name
    return next((status.name for status in grpc.StatusCode if status.value[0] == code), "") if code else ""
