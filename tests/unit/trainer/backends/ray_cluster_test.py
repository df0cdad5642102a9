"""A Ray cluster that is away is waited for, and its driver is told where it is and by which token it is let in."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from services.chassis.errors import Unavailable
from services.trainer.backends.ray_cluster import RayClusterBackend
from tests.unit.trainer.reporter_test import PLAN


async def test_a_dead_cluster_is_an_outage_that_says_which_setting_names_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        backend = RayClusterBackend(tmp_path, address=f"127.0.0.1:{server.getsockname()[1]}")
        plan = await backend.prepare(PLAN)
        assert await backend.clear(plan.training_job_id) == 0
        await backend.remove(plan.training_job_id)
    with pytest.raises(Unavailable, match="does not answer") as outage:
        await backend.prepare(PLAN)
    assert "TRAINER_RAY_ADDRESS" in outage.value.next_step


def test_the_driver_gets_the_address_and_the_place_of_the_token(tmp_path: Path) -> None:
    backend = RayClusterBackend(tmp_path, address="ray://head:10001", ray_token_file=tmp_path / "token")
    launch = backend.launch_of(PLAN)
    assert launch.num_processes == 1 and launch.options == ("--ray-address=ray://head:10001",)
    assert dict(launch.environment)["RAY_AUTH_TOKEN_PATH"] == str(tmp_path / "token")
