"""The command that `helm test` runs in the cluster."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import HealthServicer

from services.check_health import health_of, main


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
    second: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with ExitStack() as stack:
        statuses = ("SERVING", second)
        numbers = [health_pb2.HealthCheckResponse.ServingStatus.Value(status) for status in statuses]
        addresses = [stack.enter_context(server_that_says(number)) for number in numbers]
        assert main(addresses) == code
    expected = [f"{address} {status}" for address, status in zip(addresses, statuses, strict=True)]
    assert capsys.readouterr().out.splitlines() == expected


def test_a_server_that_is_away_is_named_by_its_status() -> None:
    with server_that_says(health_pb2.HealthCheckResponse.SERVING) as address:
        pass
    assert health_of(address, seconds=0.3) in {"DEADLINE_EXCEEDED", "UNAVAILABLE"}


def test_no_address_is_a_wrong_call(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([])
    assert "HOST:PORT" in capsys.readouterr().err


@pytest.mark.parametrize("variable", ["http_proxy", "https_proxy", "grpc_proxy"])
def test_no_proxy_of_the_environment_is_asked(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, "http://127.0.0.1:9")
    with server_that_says(health_pb2.HealthCheckResponse.SERVING) as address:
        assert health_of(address) == "SERVING"
