"""Objects of kinds that no cluster here knows fit the types that others made of their definitions (`make tools`)."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.charts.templates.way_in_test import LOGIN, ROUTE
from tests.charts.tools import ROOT, Manifest, profile_values, render
from tests.machine import PATIENCE_SECONDS

MODULES = ROOT / "build" / "crd-types" / "node_modules"
PACKAGES = {
    "cert-manager.io": "cert-manager",
    "gateway.networking.k8s.io": "gateway-api",
    "keda.sh": "keda",
    "monitoring.coreos.com": "prometheus-operator",
}


def complaints_about(objects: list[Manifest], folder: Path) -> list[str]:
    """Return what TypeScript says of objects: fields that a kind lacks or needs, and values that it does not take."""
    lines = []
    for number, item in enumerate(objects):
        (group, version), kind = item["apiVersion"].split("/"), item["kind"]
        module = f"@kubernetes-models/{PACKAGES[group]}/{group}/{version}/{kind}"
        lines.append(
            f'import type {{ I{kind} as T{number} }} from "{module}"; '
            f"export const o{number}: T{number} = {json.dumps(item)};"
        )
    (folder / "objects.ts").write_text("\n".join(lines))
    (folder / "node_modules").symlink_to(MODULES)
    options = ("--noEmit", "--strict", "--skipLibCheck", "--types", "", "--module", "nodenext", "objects.ts")
    done = subprocess.run(
        [MODULES / ".bin" / "tsc", *options],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    found = [line for line in done.stdout.splitlines() if line.startswith("objects.ts(")]
    assert bool(done.returncode) == bool(found), done.stdout + done.stderr
    return found


@pytest.fixture(autouse=True)
def types() -> None:
    if not (MODULES / ".bin" / "tsc").exists():
        pytest.skip("Types of custom resources are not there: run `make tools` where npm is")


def ours(*values: str) -> list[Manifest]:
    return [item for item in render(*values) if item["apiVersion"].partition("/")[0] in PACKAGES]


def test_every_custom_resource_is_as_its_definition_says(tmp_path: Path) -> None:
    objects = [*ours(*profile_values("team")), *ours(*profile_values("postgres-s3")), *ours(*LOGIN, *ROUTE)]
    kinds = {item["kind"] for item in objects}
    assert kinds == {"Certificate", "HTTPRoute", "ScaledObject", "ServiceMonitor", "PrometheusRule"}
    assert complaints_about(objects, tmp_path) == []


def test_a_field_that_is_wrong_or_missing_is_seen(tmp_path: Path) -> None:
    objects = {item["kind"]: json.loads(json.dumps(item)) for item in ours(*profile_values("team"))}
    objects["Certificate"]["spec"]["dnsName"] = ["dy-registry"]
    objects["HTTPRoute"]["spec"]["rules"][0]["matches"][0]["path"]["type"] = "Prefix"
    del objects["ScaledObject"]["spec"]["scaleTargetRef"]
    broken = [objects[kind] for kind in ("Certificate", "HTTPRoute", "ScaledObject")]
    lines = [int(line.partition("(")[2].partition(",")[0]) for line in complaints_about(broken, tmp_path)]
    assert sorted(set(lines)) == [1, 2, 3]
