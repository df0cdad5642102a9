"""Errors to gRPC statuses and back, and the errors that exceptions from below stand for."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import grpc
import grpc.aio
from google.protobuf.message import DecodeError
from google.rpc import code_pb2, error_details_pb2, status_pb2

from services.chassis.errors import (
    ERROR_CLASSES,
    Busy,
    Internal,
    QuotaExceeded,
    ResourceExhausted,
    ServiceError,
    TooLarge,
    Unavailable,
)

ERROR_DOMAIN = "drillyard"
DETAILS_KEY = "grpc-status-details-bin"

STATUS_OF: dict[type[ServiceError], grpc.StatusCode] = {cls: grpc.StatusCode[cls.code] for cls in ERROR_CLASSES}
ERROR_OF: dict[grpc.StatusCode, type[ServiceError]] = {status: cls for cls, status in STATUS_OF.items()}

# HTTP/2 peers refuse more than 8 KiB of metadata. The text travels up to four times, and encoded, which triples it.
_MAX_SENTENCE_BYTES = 500
_MAX_FIELD_BYTES = 100
_MAX_FIELDS = 4
# What gRPC's own limit says: an answer is sent by the server or received by the client, a request the other way round.
_LARGER = re.compile(r"((?:CLIENT|SERVER): (?:Sent|Received)) message larger than max \((\d+) vs\. (\d+)\)")
_ANSWERS = ("SERVER: Sent", "CLIENT: Received")
# What gRPC says of a handshake that fails. A server that refuses a client's certificate hangs up without a word.
_HANDSHAKES = {
    "CERTIFICATE_VERIFY_FAILED": "The service's certificate is over, or not of a CA that this side trusts",
    "Hostname Verification Check failed": "The service's certificate is for another name than its address",
    "WRONG_VERSION_NUMBER": "The service takes calls without TLS alone",
    "last error: UNAVAILABLE: [^ ]+: Socket closed$": "The service hung up before a call: "
    "it takes no calls without a certificate of a CA that it trusts, or it is going away",
}
_SAME_CA = "Give all services certificates of one CA in their TLS_DIR, or none of them a TLS_DIR, then try again."
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
_LATE = "The service did not answer in time."
_PEER_AWAY = "Check that the service runs and that its address is right, then try again."
_PEER_STATUSES = (grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAUTHENTICATED)
_NEXT_STEPS = {
    grpc.StatusCode.UNAUTHENTICATED: "Give all services the same token file, then try again.",
    grpc.StatusCode.CANCELLED: _PEER_AWAY,
    grpc.StatusCode.UNAVAILABLE: _PEER_AWAY,
    grpc.StatusCode.DEADLINE_EXCEEDED: "Try again; if it stays so, look at the service's log.",
    grpc.StatusCode.UNIMPLEMENTED: "Use the same release of Drillyard on both sides.",
}


@dataclass(frozen=True)
class RpcStatus:
    """What the wire carries for one error."""

    code: grpc.StatusCode
    message: str
    trailing_metadata: tuple[tuple[str, bytes], ...]


def to_status(error: ServiceError) -> RpcStatus:
    """Return the status, message and rich details (google.rpc.ErrorInfo, BadRequest) that carry `error`."""
    code = STATUS_OF.get(type(error)) or grpc.StatusCode[error.code]
    problem, next_step = _cut(error.problem, _MAX_SENTENCE_BYTES), _cut(error.next_step, _MAX_SENTENCE_BYTES)
    fields = {key: _cut(str(value), _MAX_FIELD_BYTES) for key, value in list(error.fields.items())[:_MAX_FIELDS]}
    message = f"{problem} {next_step}".rstrip()
    details = status_pb2.Status(code=code_pb2.Code.Value(code.name), message=message)
    facts = {**fields, "problem": problem, "next_step": next_step}
    details.details.add().Pack(
        error_details_pb2.ErrorInfo(reason=type(error).__name__, domain=ERROR_DOMAIN, metadata=facts)
    )
    if "field" in fields:
        violation = error_details_pb2.BadRequest.FieldViolation(field=fields["field"], description=problem)
        details.details.add().Pack(error_details_pb2.BadRequest(field_violations=[violation]))
    return RpcStatus(code, message, ((DETAILS_KEY, details.SerializeToString()),))


def from_rpc_error(error: grpc.aio.AioRpcError) -> ServiceError:
    """Return the error that the server raised: same class, problem, next step and fields.

    A status without our details (a proxy, a dead peer) becomes the class of its code with the peer's message. A call
    that this side gives up raises `asyncio.CancelledError`, so CANCELLED says that the peer went away. A token that the
    peer does not take is the operator's to mend, and work waits for that.
    """
    cls = Unavailable if error.code() in _PEER_STATUSES else ERROR_OF.get(error.code(), Internal)
    info = _error_info(tuple(error.trailing_metadata() or ()))
    if info is None and (larger := _LARGER.search(error.details() or "")):
        return _too_large(larger)
    if info is None:
        if refusal := _handshake_refusal(error.details() or ""):
            return cls(refusal, _SAME_CA)
        # What gRPC says of its own end of a call depends on where the call was.
        late = _LATE if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED else ""
        problem = late or error.details() or f"The call ended with {error.code().name}."
        return cls(problem if problem.endswith((".", "!", "?")) else problem + ".", _NEXT_STEPS.get(error.code(), ""))
    facts = dict(info.metadata)
    problem, next_step = facts.pop("problem", ""), facts.pop("next_step", "")
    if info.reason == Busy.__name__:
        return Busy(problem, next_step, retry_after_seconds=int(facts.pop("retry_after_seconds")), **facts)
    named = {TooLarge.__name__: TooLarge, QuotaExceeded.__name__: QuotaExceeded}
    return named.get(info.reason, cls)(problem, next_step, **facts)


def _handshake_refusal(details: str) -> str:
    reason = next((reason for sign, reason in _HANDSHAKES.items() if re.search(sign, details)), "")
    address = re.search("last error: [A-Z]+: ([^ ]+):", details)
    return f"{reason} ({address[1]})." if reason and address else ""


def _too_large(larger: re.Match[str]) -> TooLarge:
    way, size, limit = larger.groups()
    what, next_step = "request", "Send less in one request."
    if way in _ANSWERS:
        what, next_step = "answer", "Ask for less at once, such as a smaller page."
    return TooLarge(f"The {what} takes {size} bytes, and one message holds {limit}.", next_step)


def from_exception(error: BaseException) -> ServiceError | None:
    """Return the error that an exception from below stands for, or None when it is a fault of the program."""
    if isinstance(error, ServiceError):
        return error
    if isinstance(error, BaseExceptionGroup):
        # Tasks that ended together: the first error that a caller can understand, unless one is a fault.
        known = [from_exception(inner) for inner in error.exceptions]
        return known[0] if all(known) else None
    if isinstance(error, OSError) and error.errno in _DISK_FULL:
        return no_space(str(error.filename or "the data folder"))
    if "database or disk is full" in str(error):
        return no_space("the folder of the database")
    return None


@contextmanager
def full_disk_told() -> Iterator[None]:
    """Raise ResourceExhausted when the block meets a full disk or quota."""
    try:
        yield
    except OSError as error:
        if error.errno in _DISK_FULL:
            raise no_space(str(error.filename or "the data folder")) from error
        raise


def no_space(folder: str, cls: type[ResourceExhausted] = ResourceExhausted) -> ResourceExhausted:
    """Return the error for a full disk or quota at `folder`."""
    return cls(
        f"No space is left for {folder}.", "Free space there or point the data folder elsewhere, then try again."
    )


def _error_info(metadata: Sequence[tuple[str, str | bytes]]) -> error_details_pb2.ErrorInfo | None:
    for key, value in metadata:
        if key != DETAILS_KEY or not isinstance(value, bytes):
            continue
        try:
            status = status_pb2.Status.FromString(value)
        except DecodeError:
            return None
        for packed in status.details:
            info = error_details_pb2.ErrorInfo()
            if packed.Unpack(info) and info.domain == ERROR_DOMAIN:
                return info
    return None


def _cut(text: str, limit: int) -> str:
    raw = text.encode(errors="replace")
    return raw.decode() if len(raw) <= limit else raw[: limit - len("…".encode())].decode(errors="ignore") + "…"
