"""Spans are made where they are asked for, and nothing is imported, made or told elsewhere."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from services.chassis.calls import CallInterceptor, CallLimit
from services.chassis.telemetry import Telemetry, tracing
from tests.unit.chassis.jobs.memory_store import MemoryJobStore

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
PARENT = f"00-{1:032x}-{1:016x}-01"
SWITCHES = (ENDPOINT, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER")


@pytest.fixture(autouse=True)
def _switches(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SWITCHES:
        monkeypatch.delenv(name, raising=False)


def test_a_service_without_an_endpoint_imports_nothing_of_opentelemetry() -> None:
    program = "import sys, services.chassis.application as a\nwith a.traced('x'): print([*sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "services.chassis.telemetry.tracing" in done.stdout and "opentelemetry" not in done.stdout


@pytest.mark.parametrize(("name", "value"), [("OTEL_SDK_DISABLED", "True"), ("OTEL_TRACES_EXPORTER", "none"), ("", "")])
async def test_what_is_switched_off_tells_others_of_no_span(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    if name:
        monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:1")
        monkeypatch.setenv(name, value)
    with tracing.traced("x"), tracing.span("a", "SERVER", parent=PARENT):
        assert not tracing.is_on() and tracing.carried() == {}
        store = MemoryJobStore()
        job = await store.create("drill", "", {})
    assert [event.payload for event in await store.events(job.job_id)] == [{"state": "QUEUED"}]


def test_a_process_without_the_packages_works_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with tracing.traced("x"):
        assert not tracing.is_on()


@pytest.mark.parametrize(
    ("method", "parent", "is_traced"),
    [
        ("GetModel", "", True),
        ("ListDeployments", "", False),
        ("ListDeployments", PARENT, True),
        ("ReportAttempt", PARENT, False),
    ],
)
async def test_what_services_ask_each_second_begins_no_trace(
    monkeypatch: pytest.MonkeyPatch, method: str, parent: str, is_traced: bool
) -> None:
    wanted: list[bool] = []

    @contextmanager
    def span(name: str, *_: object, is_wanted: bool, **__: object) -> Iterator[tracing.Facts]:
        wanted.append(is_wanted)
        yield tracing.Facts(name)

    async def answer(request: bytes, _context: object) -> bytes:
        return request

    async def method_of(_details: object) -> Any:
        return grpc.unary_unary_rpc_method_handler(answer, response_serializer=None)

    monkeypatch.setattr(tracing, "span", span)
    metadata = ((tracing.TRACEPARENT, parent),)
    details: Any = SimpleNamespace(method=f"/test.Registry/{method}", invocation_metadata=metadata)
    context = SimpleNamespace(invocation_metadata=lambda: metadata, code=lambda: None)
    handler = await CallInterceptor(Telemetry(), CallLimit(1, 1)).intercept_service(method_of, details)
    assert await handler.unary_unary(b"", context) == b""
    assert wanted == [is_traced]
