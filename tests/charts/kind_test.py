"""`make cluster` calls Docker, kind and helm as they want it; those are stand-ins here, but for what helm renders."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.charts.tools import DEPLOYABLES, ROOT, require
from tests.machine import PATIENCE_SECONDS

SCRIPT = ROOT / "charts" / "kind.sh"
STAND_IN = """#!/bin/sh
echo "${0##*/} $*" >> "$CALLS"
[ "$1" != template ] || exec "$HELM" "$@"
"""


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("docker", "kind", "kubectl", "helm"):
        (folder / name).write_text(STAND_IN)
        (folder / name).chmod(0o755)
    return folder


def run(programs: Path, calls: Path, *options: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": f"{programs}:/usr/bin:/bin",
        "CALLS": str(calls),
        "HELM": require("helm"),
        "HOME": str(programs),
    }
    return subprocess.run(
        [SCRIPT, *options], env=environment, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )


def test_a_cluster_gets_every_image_that_the_chart_names_and_the_chart_tests_itself(
    programs: Path, tmp_path: Path
) -> None:
    calls = tmp_path / "calls"
    done = run(programs, calls, "--set", "training.backend=kubernetes")
    assert done.returncode == 0, done.stderr
    lines = calls.read_text().splitlines()
    built = [line.split()[3] for line in lines if line.startswith("docker build")]
    loaded = [line.split()[-1] for line in lines if line.startswith("kind load")]
    assert set(built) == {*DEPLOYABLES, "trainer-light"}
    assert [name.partition(":")[0] for name in loaded] == [f"drillyard/{target}" for target in built]
    assert lines[0] == "kind get clusters" and lines[1].startswith("kind create cluster --name drillyard")
    tag = loaded[0].partition(":")[2]
    install, test = lines[-2:]
    assert f"image.tag={tag} " in install and install.endswith("--set training.backend=kubernetes")
    assert test.startswith("helm test dy --kube-context kind-drillyard")


def test_a_program_that_is_missing_is_named(programs: Path, tmp_path: Path) -> None:
    (programs / "kind").unlink()
    done = run(programs, tmp_path / "calls")
    assert done.returncode == 1 and done.stderr.startswith("Needs kind on PATH: ")
