"""Attempts that hang are ended with all that they started, here and in a cluster, and the next one goes on."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from services.chassis.jobs import JobState
from services.trainer.backends.kubernetes_objects import TrainingPods
from services.trainer.backends.ray_kubernetes import RayKubernetesBackend
from services.trainer.backends.ray_local import RayLocalBackend
from services.trainer.domain.attempt import AttemptOutcome
from services.trainer.jobs.training_job import TrainingJobWork, TrainingLimits
from services.trainer.ports import TrainingBackend
from tests.machine import has_ended
from tests.unit.trainer.backends.fake_cluster import FakeCluster
from tests.unit.trainer.job_bench import SPEC, Bench

# Takes the place of a training process: it starts another, and neither says nor does anything more.
HANGS = """#!/bin/sh
sleep 600 &
echo $! $$ >> {pids}
wait
"""


def work_on(bench: Bench, backend: TrainingBackend, limits: TrainingLimits) -> TrainingJobWork:
    return TrainingJobWork(replace(bench.to, backend=backend), limits, lambda: "127.0.0.1:1")


def test_a_process_that_hangs_is_ended_with_what_it_started_and_its_job_fails_after_its_attempts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs, pids = tmp_path / "hangs", tmp_path / "pids"
    hangs.write_text(HANGS.format(pids=pids))
    hangs.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(hangs))
    bench = Bench(tmp_path / "trainer")
    bench.work = work_on(bench, RayLocalBackend(tmp_path / "attempts"), TrainingLimits(2, stall_seconds=6.0))

    async def scenario() -> None:
        job_id = (await bench.usecases.create("r", SPEC)).job.job_id
        job = await bench.finish(job_id)
        assert job.error is not None and "2 attempts failed" in job.error.problem
        assert "Nothing moved for 6 s in the phase start" in job.error.problem

    asyncio.run(scenario())
    processes = [int(pid) for pid in pids.read_text().split()]
    assert len(processes) == 4
    assert not [pid for pid in processes if psutil.pid_exists(pid) and not has_ended(psutil.Process(pid))]


def test_a_head_pod_that_is_deleted_costs_an_attempt_and_leaves_no_cluster(tmp_path: Path) -> None:
    bench, cluster = Bench(tmp_path / "trainer"), FakeCluster()
    backend = RayKubernetesBackend(
        tmp_path / "attempts", cluster, TrainingPods("drilling", "drillyard/trainer:1"), artifacts_url="s3://a/b"
    )
    bench.work = work_on(bench, backend, TrainingLimits(stall_seconds=1.0, release_seconds=0.1))
    seen: set[str] = set()

    async def next_run() -> str:
        while not (new := cluster.objects["rayjobs"].keys() - seen):
            await asyncio.sleep(0.01)
        seen.update(new)
        (name,) = new
        running = {"jobDeploymentStatus": "Running", "jobStatus": "RUNNING", "rayClusterName": f"{name}-cluster"}
        cluster.put("rayjobs", {**cluster.objects["rayjobs"][name], "status": running})
        return name

    async def scenario() -> None:
        job_id = (await bench.usecases.create("r", SPEC)).job.job_id
        working = asyncio.create_task(bench.finish(job_id))
        # The driver went with the head, and KubeRay says for ever that it runs.
        first = await next_run()
        assert await next_run() != first
        assert first not in cluster.objects["rayjobs"]
        await bench.jobs.request_cancel(job_id)
        assert (await working).state is JobState.CANCELLED
        lost = (await bench.usecases.resource.get(job_id)).attempts[0]
        assert lost.outcome is AttemptOutcome.FAILED and "Nothing moved for 1 s" in lost.reason
        assert cluster.objects["rayjobs"] == {}
        await backend.close()

    asyncio.run(scenario())
