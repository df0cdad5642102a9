"""The images as `make images` built them: what they say, and that their programs start as nobody and answer.

Skipped unless IMAGES_BUILT=1: to build all takes many minutes, gigabytes and root.
"""

from __future__ import annotations

import json
import os
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import pytest

from services.smoke import health_of
from tests.charts.dockerfile import TARGETS, extras_of
from tests.charts.tools import DEPLOYABLES, ROOT, Manifest, run_program
from tests.machine import PATIENCE_SECONDS, free_ports

pytestmark = [
    pytest.mark.skipif(not os.environ.get("IMAGES_BUILT"), reason="run `make images`, then set IMAGES_BUILT=1"),
    pytest.mark.timeout(600),
]
MAX_CORE_BYTES = 400_000_000
# As the chart runs it: nobody, a root that cannot be written, a volume and /tmp that can.
CONTAINER = """set -e
root=$1; shift
mount --bind "$root" "$root"
mount -t tmpfs -o mode=1777 none "$root/tmp"
mount -t tmpfs -o uid=10001,gid=10001 none "$root/data"
mount -t proc none "$root/proc"
mount --rbind /dev "$root/dev"
mount -o remount,bind,ro "$root"
exec setpriv --no-new-privs chroot --userspec=10001:10001 "$root" /usr/bin/env -i --chdir=/data "$@"
"""
# The driver of a pod's attempt, in small.
RAY = """
import ray, services.trainer.training.processes.cluster
ray.init()
print("sum", ray.get(ray.remote(lambda: __import__("torch").ones(3).sum().item()).remote()))
"""


def buildah(*arguments: str) -> str:
    done = run_program("buildah", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def config_of(target: str) -> dict[str, Any]:
    config: dict[str, Any] = json.loads(buildah("inspect", "--type", "image", f"drillyard/{target}"))["OCIv1"]["config"]
    return config


@contextmanager
def started(target: str, *command: str, **settings: object) -> Iterator[subprocess.Popen[str]]:
    """Run a command in a container of an image, else its entry point."""
    config, prefix = config_of(target), target.removesuffix("-light").upper().replace("-", "_")
    environment = [*config["Env"], *(f"{prefix}_{name.upper()}={value}" for name, value in settings.items())]
    container = buildah("from", f"drillyard/{target}")
    try:
        root = buildah("mount", container)
        inside = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", CONTAINER, "sh", root]
        words = [*inside, *environment, *(command or config["Entrypoint"])]
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            try:
                yield process
            finally:
                process.kill()
    finally:
        buildah("rm", container)


def ready(process: subprocess.Popen[str]) -> Manifest:
    assert process.stdout
    printed = []
    for line in process.stdout:
        printed.append(line)
        if line.startswith("{") and (said := json.loads(line)).get("event") == "serving":
            return dict(said)
    raise AssertionError("".join(printed))


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_runs_as_nobody_and_says_what_it_is(target: str) -> None:
    config = config_of(target)
    assert (config["User"], config["WorkingDir"]) == ("10001", "/data")
    labels = config["Labels"]
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert len(labels["org.opencontainers.image.revision"]) == 40
    held = json.loads((ROOT / "build" / "images" / f"{target}.spdx.json").read_text())
    assert {"drillyard", "libc6"} <= {package["name"] for package in held["packages"]}


@pytest.mark.parametrize(
    "target", [name for name in TARGETS if not {"tokenizer", "lm", "ray", "gateway"} & extras_of(name)]
)
def test_an_image_without_models_and_pages_is_small(target: str) -> None:
    container = buildah("from", f"drillyard/{target}")
    try:
        size = run_program("du", "--summarize", "--bytes", buildah("mount", container)).stdout.split()[0]
    finally:
        buildah("rm", container)
    assert int(size) < MAX_CORE_BYTES


@pytest.mark.parametrize("target", [*DEPLOYABLES, "trainer-light"])
def test_a_program_starts_from_its_image_and_answers(target: str) -> None:
    port, metrics_port = free_ports(2)
    name = "port" if target == "gateway" else "grpc_port"
    settings = {name: port, "metrics_port": metrics_port, "data_dir": "/data", "log_format": "json"}
    with started(target, **settings) as process:
        said = ready(process)
        if target == "gateway":
            with urllib.request.urlopen(f"http://{said['http_address']}/", timeout=PATIENCE_SECONDS) as answer:
                assert answer.status == 200
        else:
            assert health_of(said["grpc_address"], seconds=60) == "SERVING"
        (first,) = psutil.Process(process.pid).children()
        first.terminate()
        assert process.wait(60) == 0


def test_the_image_of_a_trainer_that_computes_nothing_looks_at_rows_and_has_no_torch() -> None:
    look = ("python", "-m", "services.trainer.training.preflight", "--help")
    for command, expected in ((look, True), (("python", "-c", "import torch"), False)):
        with started("trainer-light", *command) as process:
            assert process.stdout
            printed = process.stdout.read()
            assert (process.wait(100) == 0) == expected, printed


@pytest.mark.parametrize("target", ["trainer", "ray-worker"])
def test_an_image_of_trainings_starts_ray_by_itself(target: str) -> None:
    with started(target, "tini", "--", "python", "-c", RAY) as process:
        assert process.stdout
        printed = process.stdout.read()
        assert process.wait(100) == 0 and "sum 3.0" in printed, printed
