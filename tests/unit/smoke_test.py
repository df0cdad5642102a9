"""How the command that `helm test` runs asks services for their health."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import HealthServicer

from services.smoke import health_of, main


@contextmanager
def server_that_says(status: int) -> Iterator[str]:
    health = HealthServicer()
    health.set("", status)
    server = grpc.server(ThreadPoolExecutor(1))
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield address
    finally:
        server.stop(None).wait()


@pytest.mark.parametrize(("second", "code"), [("SERVING", 0), ("NOT_SERVING", 1)])
def test_one_server_that_does_not_serve_fails_the_check(
    second: str, code: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as stack:
        statuses = ("SERVING", second)
        numbers = [health_pb2.HealthCheckResponse.ServingStatus.Value(status) for status in statuses]
        addresses = [stack.enter_context(server_that_says(number)) for number in numbers]
        for name in ("REGISTRY", "TEST_RUNNER", "EVALUATOR", "TRAINER", "FEEDBACK"):
            monkeypatch.setenv(f"SMOKE_{name}_ADDRESS", addresses[name == "FEEDBACK"])
        assert main(["--health-only"]) == code
    printed = capsys.readouterr()
    assert printed.out.splitlines()[:2] == ["registry SERVING", "test_runner SERVING"]
    assert bool(code) == (f"The service feedback at {addresses[1]} is NOT_SERVING." in printed.err)


def test_a_server_that_is_away_is_named_by_its_status() -> None:
    with server_that_says(health_pb2.HealthCheckResponse.SERVING) as address:
        pass
    assert health_of(address, seconds=0.3) in {"DEADLINE_EXCEEDED", "UNAVAILABLE"}


@pytest.mark.parametrize("variable", ["http_proxy", "https_proxy", "grpc_proxy"])
def test_no_proxy_of_the_environment_is_asked(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, "http://127.0.0.1:9")
    with server_that_says(health_pb2.HealthCheckResponse.SERVING) as address:
        assert health_of(address, seconds=60) == "SERVING"
