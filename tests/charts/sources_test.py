"""What an operator says of the places that models come from reaches the registry; uploads reach its store."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.registry.settings import RegistrySettings
from tests.charts.tools import environment_of, pod_specs, render

VALUES = (
    "sources.existingSecret=tokens,sources.hosts={huggingface.co,mirror.lab},sources.secretHosts.hf={huggingface.co},"
    "artifacts.url=s3://bucket/drillyard,artifacts.existingSecret=s3,database.existingSecret=databases"
)


def test_the_registry_alone_gets_hosts_and_tokens_of_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    pods = pod_specs(render("--set", VALUES))
    for name, value in environment_of(pods["dy-registry"]).items():
        if isinstance(value, str):
            monkeypatch.setenv(name, value)
    settings = RegistrySettings()
    assert settings.source_hosts == ("huggingface.co", "mirror.lab")
    assert settings.secret_hosts == {"hf": ("huggingface.co",)}
    (mount,) = [one for one in pods["dy-registry"]["containers"][0]["volumeMounts"] if one["name"] == "source-tokens"]
    assert settings.secrets_dir == Path(mount["mountPath"])
    assert {name for name, pod in pods.items() if "'tokens'" in str(pod)} == {"dy-registry"}


def test_uploads_go_where_the_registry_reads_them_without_a_shared_volume() -> None:
    pods = pod_specs(render("--set", VALUES))
    uploads = environment_of(pods["dy-gateway"])["GATEWAY_ARTIFACTS_URL"]
    assert uploads == "s3://bucket/drillyard/gateway"
    assert "s3://bucket/drillyard/" in environment_of(pods["dy-registry"])["REGISTRY_ARTIFACT_SOURCES"]
    assert "'s3'" in str(pods["dy-gateway"]["containers"][0]["envFrom"])
