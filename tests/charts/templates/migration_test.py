"""With PostgreSQL a step before each service migrates its database."""

from __future__ import annotations

import importlib

from tests.charts.tools import SERVICES, environment_of, pod_specs, profile_values, render


def test_each_service_migrates_its_own_database_before_it_starts() -> None:
    pods = pod_specs(render(*profile_values("postgres-s3")))
    for service in SERVICES:
        pod, name = pods[f"dy-{service}"], service.replace("-", "_")
        (step,) = pod["initContainers"]
        assert step["image"] == pod["containers"][0]["image"]
        *python, module, argument = step["command"]
        assert python == ["python", "-m"]
        assert argument in importlib.import_module(module)._REVISIONS
        assert argument == name
        url = f"{name.upper()}_DATABASE_URL"
        assert {entry["name"]: entry["valueFrom"] for entry in step["env"]} == {
            url: environment_of(pod)[url],
        }
    assert "initContainers" not in pods["dy-gateway"]


def test_with_sqlite_a_service_migrates_when_it_starts() -> None:
    assert not [name for name, pod in pod_specs(render()).items() if "initContainers" in pod]
