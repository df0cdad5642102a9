"""Training in a Ray cluster that somebody else keeps: a head with a token, started here, trains a job to its end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from drillyard.job.v1 import job_pb2
from drillyard.trainer.v1 import trainer_service_pb2_grpc

from services.chassis.channel import open_channel
from services.lm.tiny import write_tiny_model
from tests.fakes.system.registry import serve_registry
from tests.integration.processes import start_service
from tests.integration.trainer_test import Trainer
from tests.machine import PATIENCE_SECONDS, free_port
from tests.unit.trainer.training_bench import dataset_rows, validation_rows


@contextmanager
def ray_head(folder: Path, token_file: Path) -> Iterator[str]:
    """Start a head that lets in whoever has the token, and yield its address."""
    port = free_port()
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", f"--port={port}"]
    command += ["--node-ip-address=127.0.0.1", "--num-cpus=2", "--include-dashboard=false", f"--temp-dir={folder}"]
    command += ["--object-store-memory=100000000", "--disable-usage-stats"]
    access = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token_file)}
    process = subprocess.Popen(command, env={**os.environ, **access}, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        _wait_until_open(port, process)
        yield f"127.0.0.1:{port}"
    finally:
        # A head that is asked to end waits half a minute for an actor of Ray Train that never ends.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(PATIENCE_SECONDS)


def _wait_until_open(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if not probe.connect_ex(("127.0.0.1", port)):
                return
        time.sleep(0.2)
    raise RuntimeError(f"Ray's head does not answer at port {port}.")


@pytest.mark.timeout(400)
async def test_a_cluster_with_a_token_trains_a_job_to_its_end(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "tiny", max_positions=8192)
    token = tmp_path / "token"
    token.write_text("a" * 64)
    rows = dataset_rows(4) + validation_rows(1)
    # Sockets of Ray stand in its folder, and their names may not be long.
    with tempfile.TemporaryDirectory(prefix="ray") as folder, ray_head(Path(folder), token) as address:
        # Of a cluster on a busy machine an attempt can stand still at its start: the trainer then makes another.
        settings = {"dtype": "float32", "ray_address": address, "ray_token_file": token, "stall_seconds": 120}
        async with serve_registry(tmp_path, tmp_path / "tiny", rows) as registry:
            with start_service("trainer", tmp_path, registry_address=registry.address, **settings) as service:
                channel = open_channel(service.address)
                trainer = Trainer(tmp_path, service, registry, trainer_service_pb2_grpc.TrainerServiceStub(channel))
                created = await trainer.create(max_steps=2, batch_size=2)
                job = await trainer.finished(created.training_job_id)
                losses = await trainer.curve(created.training_job_id, "loss")
                await channel.close()
    assert job.job.state == job_pb2.JOB_STATE_SUCCEEDED, job.job.error
    assert (job.model_version_id, job.attempts[-1].reason) == ("tiny@2", "")
    assert list(losses) == [1, 2]
