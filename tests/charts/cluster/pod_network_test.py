"""A network of pods ends whole, whatever is gone of it already."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.charts.cluster import pod_network


def test_every_namespace_and_the_bridge_are_removed_where_one_is_gone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    removed: list[str] = []

    def gone(command: list[str], *, check: bool, **_: Any) -> None:
        removed.append(command[-1])
        if check:
            raise subprocess.CalledProcessError(1, command)

    network = pod_network.PodNetwork(tmp_path / "hosts", addresses={"a": "198.51.100.2", "b": "198.51.100.3"})
    monkeypatch.setattr(pod_network, "require", lambda name: name)
    monkeypatch.setattr(subprocess, "run", gone)
    network.__exit__()
    bridge = network._bridge
    assert removed == [f"{bridge}v1", f"{bridge}-0", f"{bridge}v2", f"{bridge}-1", bridge]
