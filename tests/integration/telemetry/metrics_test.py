"""All services as real processes, scraped by a real Prometheus and read back through its API."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from drillyard.job.v1 import job_pb2
from drillyard.registry.v1 import import_pb2, registry_service_pb2_grpc

from services.chassis.channel import open_channel
from tests.charts.tools import of_kind, profile_values, render, require, run_program
from tests.integration.processes import ServiceProcess, start_service
from tests.integration.telemetry.prometheus import Prometheus, run_prometheus, wait_until
from tests.machine import PATIENCE_SECONDS

pytestmark = pytest.mark.timeout(300)

CALLS = {
    "registry": (),
    "test_runner": ("registry",),
    "evaluator": ("registry", "test_runner"),
    "trainer": ("registry",),
    "feedback": ("registry", "test_runner", "evaluator", "trainer"),
    "gateway": ("registry", "test_runner", "evaluator", "trainer", "feedback"),
}


@dataclass(frozen=True)
class Monitored:
    services: dict[str, ServiceProcess]
    prometheus: Prometheus


@pytest.fixture(scope="module")
def monitored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitored]:
    folder = tmp_path_factory.mktemp("monitored")
    require("prometheus")
    with ExitStack() as running:
        services: dict[str, ServiceProcess] = {}
        for name, called in CALLS.items():
            settings = {f"{other}_address": services[other].address for other in called}
            port = {"port": 0} if name == "gateway" else {}
            services[name] = running.enter_context(start_service(name, folder, **settings, **port))
        targets = {name: service.metrics_address for name, service in services.items()}
        yield Monitored(services, running.enter_context(run_prometheus(folder, targets)))


def everyone() -> dict[str, float]:
    return {name.replace("_", "-"): 1.0 for name in CALLS}


def test_every_service_is_scraped(monitored: Monitored) -> None:
    monitored.prometheus.wait_for("up", everyone())


def test_a_call_through_the_gateway_is_counted_on_both_sides(monitored: Monitored) -> None:
    with urllib.request.urlopen(
        f"http://{monitored.services['gateway'].address}/api/v1/models", timeout=PATIENCE_SECONDS
    ) as answer:
        assert answer.status == 200
    calls = 'drillyard_rpc_requests_total{grpc_method="ListModels",code="OK"}'
    monitored.prometheus.wait_for(calls, {"registry": 1.0})
    broken = 'drillyard_rpc_requests_total{grpc_method="ListModels",code="INTERNAL"}'
    monitored.prometheus.wait_for(broken, {"registry": 0.0})
    requests = 'drillyard_http_requests_total{method="GET",route="/api/v1/models",status="200"}'
    monitored.prometheus.wait_for(requests, {"gateway": 1.0})


async def test_a_job_that_failed_is_counted_by_kind_and_state(monitored: Monitored, tmp_path: Path) -> None:
    (tmp_path / "broken.gguf").write_bytes(b"no model")
    channel = open_channel(monitored.services["registry"].address)
    try:
        stub = registry_service_pb2_grpc.RegistryServiceStub(channel)
        source = import_pb2.ImportSource(gguf_path=str(tmp_path / "broken.gguf"))
        request = import_pb2.CreateImportRequest(request_id="broken", model_id="broken", source=source)
        import_id = (await stub.CreateImport(request)).model_import.import_id
        async for _ in stub.WatchImport(import_pb2.WatchImportRequest(import_id=import_id)):
            pass
        ended = (await stub.GetImport(import_pb2.GetImportRequest(import_id=import_id))).model_import.job
        assert ended.state == job_pb2.JOB_STATE_FAILED
    finally:
        await channel.close()
    monitored.prometheus.wait_for('drillyard_jobs{kind="import",state="FAILED"}', {"registry": 1.0})


def test_prometheus_evaluates_every_rule(monitored: Monitored) -> None:
    def states() -> set[str]:
        groups = monitored.prometheus.ask("rules")["groups"]
        return {rule["health"] for group in groups for rule in group["rules"]}

    wait_until(lambda: states() == {"ok"})


def test_promtool_accepts_the_rules_that_the_chart_renders(tmp_path: Path) -> None:
    (rules,) = of_kind(render(*profile_values("postgres-s3")), "PrometheusRule").values()
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(rules["spec"]))
    done = run_program("promtool", "check", "rules", str(tmp_path / "rules.yml"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SUCCESS" in done.stdout


def test_a_service_that_ended_is_seen_as_down(monitored: Monitored) -> None:
    monitored.services["feedback"].kill()
    monitored.prometheus.wait_for("up", {**everyone(), "feedback": 0.0})
