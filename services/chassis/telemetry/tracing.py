"""Spans by OpenTelemetry, sent by OTLP where its standard variables ask for that; else nothing is imported or made."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import structlog

TRACEPARENT = "traceparent"
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
# A collector that is away holds up the end of no process for longer.
_FLUSH_SECONDS = 2.0
_current: ContextVar[str] = ContextVar(TRACEPARENT, default="")
_log = structlog.get_logger()

Kind: TypeAlias = Literal["INTERNAL", "SERVER", "CLIENT", "CONSUMER"]


@dataclass
class Facts:
    """What a block knows of its span at the end: ids, counts and codes, never a prompt, a key or a path.

    Attributes:
        error: What went wrong, as a code or a class; empty where nothing did, None: what the block raised, if anything.
    """

    name: str
    attributes: dict[str, str | int | float] = field(default_factory=dict)
    error: str | None = None


class _Spans:
    """What makes and sends the spans of this process."""

    def __init__(self, part: str, environment: Mapping[str, str]) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        named = "OTEL_SERVICE_NAME" in environment or "service.name=" in environment.get("OTEL_RESOURCE_ATTRIBUTES", "")
        own = {"drillyard.part": part} | ({} if named else {"service.name": f"drillyard-{part}"})
        # Its own end at exit would wait for a collector that is away.
        self.provider = TracerProvider(resource=Resource.create(own), shutdown_on_exit=False)
        self.provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self.provider.get_tracer("drillyard")
        self._propagator = TraceContextTextMapPropagator()

    def start(self, name: str, kind: Kind, parent: str) -> tuple[Any, str]:
        """Return a new span, and what names it as a parent."""
        from opentelemetry.context import Context
        from opentelemetry.trace import SpanKind

        context = self._propagator.extract({TRACEPARENT: parent}, Context())
        span = self._tracer.start_span(name, context, SpanKind[kind])
        of_span = span.get_span_context()
        return span, f"00-{of_span.trace_id:032x}-{of_span.span_id:016x}-{int(of_span.trace_flags):02x}"


_making: list[_Spans] = []


def begin(part: str, environment: Mapping[str, str] = os.environ) -> None:
    """Make and send spans from now on, if the environment names an endpoint; `part` is who this process is.

    The variables are those of OpenTelemetry: `OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_TRACES_SAMPLER` and so on.
    """
    switches = (environment.get("OTEL_SDK_DISABLED", "").lower(), environment.get("OTEL_TRACES_EXPORTER"))
    is_wanted = any(environment.get(name) for name in _ENDPOINTS) and not {"true", "none"}.intersection(switches)
    if _making or not is_wanted:
        return
    try:
        _making.append(_Spans(part, environment))
    except Exception as error:
        # Who cannot be watched works all the same.
        next_step = "Install drillyard[traces], and look at the OTEL_ variables."
        _log.warning("traces_off", reason=f"{type(error).__name__}: {error}", next_step=next_step)


def is_on() -> bool:
    """Whether spans are made."""
    return bool(_making)


def flush() -> None:
    """Send what has been made, for two seconds at most."""
    if _making:
        thread = threading.Thread(target=_making[0].provider.force_flush, name="flush-spans", daemon=True)
        thread.start()
        thread.join(_FLUSH_SECONDS)


@contextmanager
def traced(part: str) -> Iterator[None]:
    """Send the spans of this process for the length of the block, if the environment asks for that."""
    begin(part)
    try:
        yield
    finally:
        flush()


def carried() -> Mapping[str, str]:
    """Return what tells others of the span that goes on, by its name in metadata; nothing where there is none."""
    return {TRACEPARENT: _current.get()} if _current.get() else {}


@contextmanager
def span(name: str, kind: Kind = "INTERNAL", *, parent: str | None = None, is_wanted: bool = True) -> Iterator[Facts]:
    """Make a span of the block, which can say more of it in what is yielded.

    What the block begins belongs to the span, but for a CLIENT, which waits for another process.

    Args:
        name: From a closed set.
        kind: What the block does, as OpenTelemetry has it.
        parent: A `traceparent`; empty or malformed: a new trace begins. None: the span that goes on.
        is_wanted: False makes none.
    """
    facts = Facts(name)
    if not _making or not is_wanted:
        yield facts
        return
    former = _current.get()
    made, own = _making[0].start(name, kind, former if parent is None else parent)
    if kind != "CLIENT":
        _current.set(own)
        structlog.contextvars.bind_contextvars(trace_id=own.split("-")[1])
    try:
        yield facts
    except BaseException as error:
        is_end = isinstance(error, asyncio.CancelledError | GeneratorExit)
        facts.error = facts.error if facts.error is not None or is_end else type(error).__qualname__
        raise
    finally:
        if kind != "CLIENT":
            _current.set(former)
        _end(made, facts)


def _end(made: Any, facts: Facts) -> None:
    from opentelemetry.trace import StatusCode

    made.update_name(facts.name)
    made.set_attributes(facts.attributes)
    if facts.error:
        made.set_attribute("error.type", facts.error)
        made.set_status(StatusCode.ERROR)
    made.end()
