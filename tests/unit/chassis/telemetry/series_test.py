import asyncio
from collections.abc import AsyncIterator

import pytest

from services.chassis.telemetry import Telemetry, TelemetryServer
from tests.machine import PATIENCE_SECONDS


class Readiness:
    def __init__(self) -> None:
        self.is_ready = True

    def __call__(self) -> bool:
        return self.is_ready


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry()


@pytest.fixture
def readiness() -> Readiness:
    return Readiness()


@pytest.fixture
async def port(telemetry: Telemetry, readiness: Readiness) -> AsyncIterator[int]:
    server = TelemetryServer(telemetry, readiness)
    yield await server.start("127.0.0.1", 0)
    await server.stop()


async def send(port: int, raw: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(raw)
    answer = await asyncio.wait_for(reader.read(), PATIENCE_SECONDS)
    writer.close()
    return answer


async def get(port: int, path: str) -> tuple[int, str]:
    head, _, body = (await send(port, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())).partition(b"\r\n\r\n")
    return int(head.split()[1]), body.decode()


async def test_rpcs_and_jobs_are_scraped(telemetry: Telemetry, port: int) -> None:
    telemetry.rpc_started("drillyard.X", "GetY")
    telemetry.rpc_started("drillyard.X", "GetY")
    telemetry.rpc_ended("drillyard.X", "GetY", code="NOT_FOUND", seconds=0.2)

    async def count_jobs() -> None:
        telemetry.set_jobs({("test_run", "RUNNING"): 2}, {"test_run": 7.5})

    telemetry.on_scrape(count_jobs)
    status, text = await get(port, "/metrics?x=1")
    assert status == 200
    labels = 'grpc_method="GetY",grpc_service="drillyard.X"'
    assert f'drillyard_rpc_requests_total{{code="NOT_FOUND",{labels}}} 1.0' in text
    assert f"drillyard_rpc_in_flight{{{labels}}} 1.0" in text
    assert f'drillyard_rpc_duration_seconds_bucket{{{labels},le="0.5"}} 1.0' in text.replace("le=", "le=")
    assert 'drillyard_jobs{kind="test_run",state="RUNNING"} 2.0' in text
    assert 'drillyard_jobs_queue_age_seconds{kind="test_run"} 7.5' in text
    assert "process_resident_memory_bytes" in text


async def test_states_that_no_job_is_in_any_more_vanish(telemetry: Telemetry, port: int) -> None:
    telemetry.set_jobs({("test_run", "RUNNING"): 1}, {})
    telemetry.set_jobs({("test_run", "SUCCEEDED"): 1}, {})
    assert "RUNNING" not in (await get(port, "/metrics"))[1]


async def test_a_service_that_is_not_ready_is_still_live(readiness: Readiness, port: int) -> None:
    readiness.is_ready = False
    assert (await get(port, "/health/live"))[0] == 200
    assert (await get(port, "/health/ready"))[0] == 503
    readiness.is_ready = True
    assert (await get(port, "/health/ready"))[0] == 200


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"GET /etc/passwd HTTP/1.1\r\n\r\n", b"404"),
        (b"POST /metrics HTTP/1.1\r\n\r\n", b"405"),
        (b"\x16\x03\x01\x00\r\n\r\n", b"405"),
    ],
)
async def test_other_requests_are_refused(port: int, raw: bytes, status: bytes) -> None:
    assert (await send(port, raw)).split()[1] == status


async def test_a_request_without_end_is_cut_off(port: int) -> None:
    assert await send(port, b"GET /metrics HTTP/1.1\r\n" + b"x: y\r\n" * 10_000) == b""
    assert (await get(port, "/health/live"))[0] == 200


async def test_own_series_are_kept_per_process(telemetry: Telemetry, port: int) -> None:
    telemetry.counter("drillyard_cases", "Cases.", ("outcome",)).labels("accepted").inc(3)
    assert 'drillyard_cases_total{outcome="accepted"} 3.0' in (await get(port, "/metrics"))[1]
    Telemetry().counter("drillyard_cases", "Cases.", ("outcome",))
