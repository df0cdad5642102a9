"""Structured logs: one event name with fields per record, no secrets, no forged lines."""

from __future__ import annotations

import logging
import re
import sys
import traceback
from collections.abc import Mapping, MutableMapping
from typing import Any, Literal

import structlog
from structlog.typing import ExcInfo

from services.chassis.errors import ServiceError

REDACTED = "[redacted]"

_SECRET_KEY = re.compile(
    r"(password|passwd|secret|authorization|api_?key|access_?key|credential|private_?key|(^|_)(auth|access|hub|hf|ray|bearer|refresh|id|api)_?token$|^token$)",
    re.IGNORECASE,
)
_SECRET_VALUE = re.compile(
    r"(?P<url>(?<=://)[^/\s:@]*:[^/\s@]+(?=@))|(?P<bearer>(?i:bearer)\s+[\w.~+/=-]{8,})"
    r"|(?P<key>\b(?:hf_[A-Za-z0-9]{16,}|sk-[\w-]{16,}|AKIA[A-Z0-9]{16}|gh[pousr]_[A-Za-z0-9]{20,}|xox[abp]-[\w-]{10,}))"
)
# The name of a person's folder is nobody's business; what lies below it stays.
_HOME = re.compile(r"(?:/home|/Users)/[^/\s\"':;,]+|/root(?![\w.-])")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
# As the last line of a trace begins.
_ERROR_NAME = re.compile(r"^[\w.]*(?:Error|Exception)(?=:|$)", re.MULTILINE)
_MAX_VALUE = 4000
_CHATTY = ("alembic", "aiosqlite", "asyncio")
# A URL may hold a token or be signed.
_TELL_URLS = ("httpx2", "httpcore2", "httpx", "httpcore")
# The richer one shows what variables held, and holds up the event loop while it draws that.
_PLAIN = structlog.dev.plain_traceback

Event = MutableMapping[str, Any]


def configure_logs(
    *, service: str, level: str = "info", log_format: Literal["auto", "json", "console"] = "auto"
) -> None:
    """Send all records of this process, those of the standard library too, to stderr.

    Args:
        service: Bound to every record as `service`.
        level: Least severity that is written.
        log_format: `auto` is console on a terminal and JSON elsewhere.
    """
    form = log_format if log_format != "auto" else ("console" if sys.stderr.isatty() else "json")
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        # Who develops at a terminal sees all; files and clusters keep no words of libraries, which may quote a prompt.
        structlog.processors.ExceptionRenderer(_trace) if form == "json" else structlog.processors.format_exc_info,
        *([measure_words] if form == "json" else []),
        _Stamp(service),
        redact,
    ]
    renderer: structlog.types.Processor = (
        structlog.processors.JSONRenderer(default=str)
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=_PLAIN)
    )
    last: list[structlog.types.Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    last += [escape_controls] if form == "console" else []
    out = logging.StreamHandler(sys.stderr)
    out.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[*last, renderer]))
    logging.basicConfig(handlers=[out], level=level.upper(), force=True)
    logging.captureWarnings(True)
    for chatty in (*_CHATTY, *_TELL_URLS):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=False,
    )


def redact(_logger: object, _method: str, event: Event) -> Event:
    """Replace secrets by `[redacted]`, by the name of the field and by the form of the value, and homes by `~`."""
    return {key: _clean(key, value) for key, value in event.items()}


def escape_controls(_logger: object, _method: str, event: Event) -> Event:
    """Write control characters of field values as escapes, so that one record stays one record."""
    return {
        key: _escape(value) if isinstance(value, str) and key != "exception" else value for key, value in event.items()
    }


def measure_words(_logger: object, _method: str, event: Event) -> Event:
    """Replace what another program or a library said, in a field `…_words`, by the error that it names and its size."""
    return {key: _measure(str(value)) if key.endswith("_words") else value for key, value in event.items()}


def _measure(words: str) -> str:
    names = _ERROR_NAME.findall(words)
    return f"{names[-1] if names else 'text'} of {len(words)} characters"


def _trace(exc_info: ExcInfo) -> str:
    """Return where an exception and its causes were raised, with the words of our own errors and the system's alone."""
    error: BaseException | None = exc_info[1]
    parts: list[str] = []
    # An error that was raised again while it was handled can be among its own causes.
    known: set[int] = set()
    while error is not None and id(error) not in known:
        known.add(id(error))
        name = type(error).__qualname__
        words = f"{name}: {error}" if isinstance(error, ServiceError | OSError) else name
        parts.append("".join(traceback.format_tb(error.__traceback__)) + words)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\n".join(reversed(parts))


class _Stamp:
    def __init__(self, service: str) -> None:
        self._service = service

    def __call__(self, _logger: object, _method: str, event: Event) -> Event:
        event.setdefault("service", self._service)
        return event


def _clean(key: str, value: Any) -> Any:
    if key.startswith("_"):
        return value
    if _SECRET_KEY.search(key) and value not in (None, ""):
        return REDACTED
    if isinstance(value, Mapping):
        return {str(name): _clean(str(name), item) for name, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_clean("", item) for item in value]
    if isinstance(value, (bool, int, float)) or value is None:
        return value
    text = _HOME.sub("~", _SECRET_VALUE.sub(REDACTED, str(value)))
    return text if len(text) <= _MAX_VALUE or key == "exception" else text[:_MAX_VALUE] + "…"


def _escape(text: str) -> str:
    return _CONTROL.sub(lambda match: match.group().encode("unicode_escape").decode("ascii"), text)
