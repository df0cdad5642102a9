"""A real Prometheus that scrapes services as the chart's ServiceMonitor asks for it."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.charts.tools import CHART, require
from tests.machine import PATIENCE_SECONDS

RULES = sorted((CHART / "files").glob("*.yaml"))


@dataclass(frozen=True)
class Prometheus:
    url: str

    def ask(self, path: str, **parameters: str) -> Any:
        """Return the `data` of an answer of the HTTP API."""
        address = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(address, timeout=PATIENCE_SECONDS) as answer:
            document = json.load(answer)
        assert document["status"] == "success"
        return document["data"]

    def wait_until_ready(self) -> None:
        """Wait until it answers: it listens before it has read its storage, and says 503 until then."""
        end = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                urllib.request.urlopen(f"{self.url}/-/ready", timeout=5).close()
            except OSError:
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


@contextmanager
def run_prometheus(folder: Path, targets: dict[str, str], scrape_every: str = "500ms") -> Iterator[Prometheus]:
    (folder / "prometheus.yml").write_text(yaml.safe_dump(scrape_config(targets, scrape_every)))
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
        process.wait(PATIENCE_SECONDS)


def scrape_config(targets: dict[str, str], scrape_every: str) -> dict[str, Any]:
    """The scrapes that the chart's ServiceMonitor asks for: the same jobs and labels."""
    part_of = {"app_kubernetes_io_part_of": "drillyard"}
    return {
        "global": {"scrape_interval": scrape_every, "scrape_timeout": scrape_every, "evaluation_interval": "1s"},
        "rule_files": [str(path) for path in RULES],
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


def wait_until(claim: Callable[[], bool], state: Callable[[], str] = str) -> None:
    """Wait until a claim holds; after a minute fail with what `state` says."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not claim():
        assert time.monotonic() < end, state()
        time.sleep(0.2)
