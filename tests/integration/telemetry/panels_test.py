"""Every query of every board, asked of a real Prometheus over a system that works: gateway, services, jobs."""

from __future__ import annotations

import json
import math
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from drillyard.feedback.v1 import feedback_service_pb2_grpc, loop_goal_pb2, loop_pb2
from drillyard.job.v1 import job_pb2
from drillyard.registry.v1 import import_pb2, registry_service_pb2_grpc

from services.chassis.channel import open_channel
from tests.charts.tools import CHART, require
from tests.fakes.system.services import BASE, SUITE
from tests.integration.processes import ServiceProcess, start_service
from tests.integration.system_process import SystemProcess, running_system
from tests.integration.telemetry.prometheus import Prometheus, run_prometheus, wait_until
from tests.machine import PATIENCE_SECONDS

pytestmark = pytest.mark.timeout(300)

BOARDS = sorted((CHART / "files" / "dashboards").glob("*.json"))
# What this system has none of: panels by board and title, with the reason.
WITHOUT_VALUES = {
    "testing: Time until a worker is ready (95 %), A": "needs a generation worker with weights; the model is made up"
}


def panel_queries() -> list[tuple[str, str]]:
    """Board, panel and letter, and the query as Grafana sends it with every service chosen."""
    return [
        (
            f"{path.stem}: {panel['title']}, {target['refId']}",
            target["expr"].replace("$__rate_interval", "1m").replace("$job", ".*"),
        )
        for path in BOARDS
        for panel in json.loads(path.read_text())["panels"]
        for target in panel["targets"]
    ]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SystemProcess]:
    require("prometheus")
    with running_system(tmp_path_factory.mktemp("system")) as started:
        yield started


@pytest.fixture
def gateway(system: SystemProcess) -> Iterator[ServiceProcess]:
    with start_service("gateway", system.folder, port=0, **system.addresses) as started:
        yield started


@pytest.fixture
def prometheus(system: SystemProcess, gateway: ServiceProcess, tmp_path: Path) -> Iterator[Prometheus]:
    """A Prometheus that has scraped services and gateway before they work, since a rate needs a value before."""
    targets = {**system.metrics_addresses, "gateway": gateway.metrics_address}
    # Five services answer in one process: on a busy machine that may take them a second.
    with run_prometheus(tmp_path, targets, scrape_every="3s") as running:
        running.wait_for("max_over_time(up[10m])", {name.replace("_", "-"): 1.0 for name in targets})
        yield running


def ask_gateway(address: str) -> None:
    body = json.dumps({"model": BASE, "messages": [{"role": "user", "content": "hello"}]}).encode()
    headers = {"Content-Type": "application/json", "Origin": f"http://{address}"}
    request = urllib.request.Request(f"http://{address}/v1/chat/completions", body, headers)
    for wanted in (request, f"http://{address}/api/v1/models"):
        with urllib.request.urlopen(wanted, timeout=PATIENCE_SECONDS) as answer:
            assert answer.status == 200


async def run_loop(system: SystemProcess) -> None:
    """Let a loop test, judge, train and test again; the system's other training goes on beside it."""
    system.model.holds = system.training.holds = False
    goals = [loop_goal_pb2.Goal(metric="conforming_rate", minimum=0.9, confidence=0.0)]
    spec = loop_pb2.LoopSpec(model_version_id=BASE, test_suite_version_id=SUITE, goals=goals, num_examples=26, seed=2)
    spec.budget.max_rounds, spec.budget.price_per_hour = 1, 2.0
    async with open_channel(system.addresses["feedback_address"]) as channel:
        stub = feedback_service_pb2_grpc.FeedbackServiceStub(channel)
        loop_id = (await stub.CreateLoop(loop_pb2.CreateLoopRequest(spec=spec))).loop.loop_id
        async for _ in stub.WatchLoop(loop_pb2.WatchLoopRequest(loop_id=loop_id)):
            pass
        loop = (await stub.GetLoop(loop_pb2.GetLoopRequest(loop_id=loop_id))).loop
        assert (loop.job.state, len(loop.rounds)) == (job_pb2.JOB_STATE_SUCCEEDED, 2)


async def run_import(system: SystemProcess) -> None:
    """Let an import end, if only since its file is no model."""
    async with open_channel(system.addresses["registry_address"]) as channel:
        stub = registry_service_pb2_grpc.RegistryServiceStub(channel)
        request = import_pb2.CreateImportRequest(model_id="broken", source=import_pb2.ImportSource(gguf_path=__file__))
        import_id = (await stub.CreateImport(request)).model_import.import_id
        async for _ in stub.WatchImport(import_pb2.WatchImportRequest(import_id=import_id)):
            pass


async def test_every_panel_of_the_four_boards_shows_values_of_a_system_that_works(
    system: SystemProcess, gateway: ServiceProcess, prometheus: Prometheus
) -> None:
    assert [path.stem for path in BOARDS] == ["operations", "overview", "testing", "training"]
    await run_import(system)
    await run_loop(system)
    empty = dict(panel_queries())
    without = [empty.pop(title) for title in WITHOUT_VALUES]
    assert len(empty) > 50

    def all_have_values() -> bool:
        # What is asked once is a series that begins with its last value, and has no rate.
        ask_gateway(gateway.address)
        for title, query in list(empty.items()):
            if any(map(math.isfinite, values_of(prometheus, query))):
                del empty[title]
        return not empty

    wait_until(all_have_values, lambda: f"without a value: {empty}")
    for query in without:
        values_of(prometheus, query)


def values_of(prometheus: Prometheus, query: str) -> list[float]:
    return [float(entry["value"][1]) for entry in prometheus.ask("query", query=query)["result"]]
