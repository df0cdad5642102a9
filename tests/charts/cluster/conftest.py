"""One control plane for all tests that need a real API server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.charts.cluster.control_plane import ControlPlane, run_control_plane
from tests.charts.tools import require


@pytest.fixture(scope="package")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    require("kubectl")
    with run_control_plane(tmp_path_factory.mktemp("control-plane")) as running:
        yield running
