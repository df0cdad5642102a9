"""All services as real processes, scraped by a real Prometheus and read back through its API."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from drillyard.job.v1 import job_pb2
from drillyard.registry.v1 import import_pb2, registry_service_pb2_grpc

from services.chassis.channel import open_channel
from tests.charts.tools import CHART, of_kind, profile_values, render, require, run_program
from tests.integration.processes import ServiceProcess, start_service

pytestmark = pytest.mark.timeout(300)

CALLS = {
    "registry": (),
    "test_runner": ("registry",),
    "evaluator": ("registry", "test_runner"),
    "trainer": ("registry",),
    "feedback": ("registry", "test_runner", "evaluator", "trainer"),
    "gateway": ("registry", "test_runner", "evaluator", "trainer", "feedback"),
}
PATIENCE_SECONDS = 60.0
ALERTS = CHART / "files" / "alerts.yaml"


@dataclass(frozen=True)
class Prometheus:
    url: str

    def ask(self, path: str, **parameters: str) -> Any:
        """Return the `data` of an answer of the HTTP API."""
        address = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(address, timeout=60) as answer:
            document = json.load(answer)
        assert document["status"] == "success"
        return document["data"]

    def wait_until_ready(self) -> None:
        """Wait until it answers: it listens before it has read its storage, and says 503 until then."""
        end = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                urllib.request.urlopen(f"{self.url}/-/ready", timeout=60).close()
            except urllib.error.HTTPError:
                assert time.monotonic() < end
                time.sleep(0.1)
            else:
                return

    def values(self, query: str) -> dict[str, float]:
        """Return the value of each series of an instant query by its job."""
        found = self.ask("query", query=query)["result"]
        return {entry["metric"].get("job", ""): float(entry["value"][1]) for entry in found}

    def wait_for(self, query: str, expected: dict[str, float]) -> None:
        """Wait until a query has this answer."""
        end = time.monotonic() + PATIENCE_SECONDS
        while (found := self.values(query)) != expected:
            assert time.monotonic() < end, f"{query} is {found}"
            time.sleep(0.2)


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


@contextmanager
def run_prometheus(folder: Path, targets: dict[str, str]) -> Iterator[Prometheus]:
    (folder / "prometheus.yml").write_text(yaml.safe_dump(scrape_config(targets)))
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen(
            [
                require("prometheus"),
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'tsdb'}",
                "--web.listen-address=127.0.0.1:0",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        prometheus = Prometheus(f"http://{bound_address(process, folder / 'prometheus.log')}")
        prometheus.wait_until_ready()
        yield prometheus
    finally:
        process.terminate()
        process.wait(20)


def scrape_config(targets: dict[str, str]) -> dict[str, Any]:
    """The scrapes that the chart's ServiceMonitor asks for: the same jobs and labels."""
    part_of = {"app_kubernetes_io_part_of": "drillyard"}
    return {
        "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "1s"},
        "rule_files": [str(ALERTS)],
        "scrape_configs": [
            {"job_name": name.replace("_", "-"), "static_configs": [{"targets": [address], "labels": part_of}]}
            for name, address in targets.items()
        ],
    }


def bound_address(process: subprocess.Popen[bytes], log: Path) -> str:
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end and process.poll() is None:
        # What stands behind the last line's end is being written.
        for line in log.read_text().split("\n")[:-1]:
            if "Listening on" in line:
                return line.rsplit("address=", 1)[1].strip()
        time.sleep(0.1)
    raise AssertionError(log.read_text())


def everyone() -> dict[str, float]:
    return {name.replace("_", "-"): 1.0 for name in CALLS}


def test_every_service_is_scraped(monitored: Monitored) -> None:
    monitored.prometheus.wait_for("up", everyone())


def test_a_call_through_the_gateway_is_counted_on_both_sides(monitored: Monitored) -> None:
    with urllib.request.urlopen(f"http://{monitored.services['gateway'].address}/api/v1/models", timeout=60) as answer:
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


def queries() -> list[str]:
    boards = [json.loads(path.read_text()) for path in sorted((CHART / "files" / "dashboards").glob("*.json"))]
    shown = [target["expr"] for board in boards for panel in board["panels"] for target in panel["targets"]]
    return [query.replace("$__rate_interval", "1m").replace("$job", ".*") for query in shown]


def test_prometheus_understands_every_query_of_the_dashboards(monitored: Monitored) -> None:
    wrong = []
    for query in queries():
        try:
            monitored.prometheus.ask("query", query=query)
        except urllib.error.HTTPError as error:
            wrong.append((query, error.read()))
    assert wrong == []


def test_prometheus_evaluates_every_alert(monitored: Monitored) -> None:
    def states() -> set[str]:
        groups = monitored.prometheus.ask("rules")["groups"]
        return {rule["health"] for group in groups for rule in group["rules"]}

    wait_until(lambda: states() == {"ok"})


def wait_until(claim: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not claim():
        assert time.monotonic() < end
        time.sleep(0.2)


def test_promtool_accepts_the_rules_that_the_chart_renders(tmp_path: Path) -> None:
    (rules,) = of_kind(render(*profile_values("postgres-s3")), "PrometheusRule").values()
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(rules["spec"]))
    done = run_program("promtool", "check", "rules", str(tmp_path / "rules.yml"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SUCCESS" in done.stdout


def test_a_service_that_ended_is_seen_as_down(monitored: Monitored) -> None:
    monitored.services["feedback"].kill()
    monitored.prometheus.wait_for("up", {**everyone(), "feedback": 0.0})
