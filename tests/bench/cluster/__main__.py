"""Trainings in a cluster, submitted, paused, resumed and cancelled at random: `python -m tests.bench.cluster`.

The API server, its controllers and the trainer's jobs are real; KubeRay's operator and the pods' training are made up.
Prints what was done, how many calls of the API it took, and whether an object was left over or doubled.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import random
import shlex
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from services.chassis.errors import ServiceError
from services.chassis.jobs import JobRunner, JobState
from services.chassis.machine.kubernetes.client import KubernetesClient, Manifest
from services.trainer.backends.kubernetes_objects import JOB_LABEL, TrainingPods
from services.trainer.backends.ray_kubernetes import RayKubernetesBackend
from services.trainer.domain.attempt import AttemptOutcome, AttemptReport
from services.trainer.domain.plan import AttemptPlan
from services.trainer.domain.spec import KIND
from services.trainer.jobs.training_job import TrainingJobWork, TrainingLimits
from services.trainer.manifest import ADAPTER, OPTIMIZER, POSITION, place_for, write_manifest
from services.trainer.training.processes.artifacts import stored
from services.trainer.usecases import TrainingUseCases
from tests.charts.cluster.control_plane import ControlPlane, run_control_plane
from tests.charts.cluster.kuberay import DEFINITION, Operator
from tests.charts.tools import render
from tests.unit.trainer.job_bench import SPEC, Bench

NAMESPACE: Final = "drilling"
NUM_STEPS: Final = 30
SAVE_STEPS: Final = 10
_ENDS: Final = (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


@dataclass
class Trainings:
    """A trainer whose attempts run in the cluster, and what happened to its jobs."""

    bench: Bench
    client: KubernetesClient
    step_seconds: float
    counts: Counter[str] = field(default_factory=Counter)
    job_seconds: float = 0.0
    doubled: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Let the attempts of the bench's jobs run in the cluster."""
        folder = self.bench.folder
        url = (folder / "artifacts").as_uri()
        pods = TrainingPods(NAMESPACE, "drillyard/trainer:1", grace_seconds=20)
        self.backend = RayKubernetesBackend(folder / "attempts", self.client, pods, artifacts_url=url)
        to = replace(self.bench.to, backend=self.backend)
        self.work = TrainingJobWork(to, TrainingLimits(), lambda: "trainer:50051")
        self.bench.usecases = TrainingUseCases(
            jobs=self.bench.jobs,
            store=to.store,
            inputs=to.inputs,
            live_attempts=to.live_attempts,
            telemetry=to.telemetry,
            forget=self.work.forget,
        )

    async def train(self, ray_job: Manifest) -> str:
        """Be the pods of an attempt: report steps, save into the store, and end when they are asked to."""
        self.counts["attempts"] += 1
        encoded = shlex.split(ray_job["spec"]["entrypoint"])[-1]
        plan = AttemptPlan.from_json(base64.urlsafe_b64decode(encoded).decode())
        pod = self.bench.folder / "pods" / ray_job["metadata"]["name"]
        plan = replace(plan, checkpoint_folder=str(pod / "checkpoints"), scratch_folder=str(pod))
        attempts = (await self.bench.store.list_attempts([plan.training_job_id]))[plan.training_job_id]
        try:
            for step in range(attempts[-1].start_step + 1, NUM_STEPS + 1):
                await asyncio.sleep(random.uniform(0.5, 1.5) * self.step_seconds)
                stops = await self.bench.report(plan, step)
                if stops or step % SAVE_STEPS == 0:
                    await self._save(plan, step)
                if stops:
                    await self.bench.report(plan, step, AttemptOutcome.STOPPED)
                    return "SUCCEEDED"
            await self.bench.report(plan, NUM_STEPS, AttemptOutcome.SUCCEEDED)
        except ServiceError:
            # The attempt is not the job's any more: the processes of a real one end here.
            self.counts["fenced reports"] += 1
            return "FAILED"
        return "SUCCEEDED"

    async def _save(self, plan: AttemptPlan, step: int) -> None:
        saved = await asyncio.to_thread(_write, plan, step)
        report = AttemptReport(plan.training_job_id, plan.attempt, plan.epoch, checkpoints=(saved,))
        await self.bench.usecases.report(report)

    async def live(self, number: int) -> JobState:
        """Submit a job, do what chance says with it, and return how it ended."""
        await asyncio.sleep(random.uniform(0, 20))
        job_id = (await self.bench.usecases.create(f"request-{number}", SPEC)).training_job_id
        since = time.monotonic()
        resource = self.bench.usecases.resource
        while (state := (await self.bench.jobs.get(job_id)).state) not in _ENDS:
            await asyncio.sleep(random.uniform(1, 15))
            change = random.choices(("wait", "pause", "cancel"), (6, 4, 1))[0]
            try:
                if state is JobState.PAUSED:
                    await resource.resume(job_id)
                    self.counts["resumed"] += 1
                elif change != "wait":
                    await (resource.pause if change == "pause" else resource.cancel)(job_id)
                    self.counts[f"asked to {change}"] += 1
            except ServiceError:
                self.counts["too late"] += 1
        self.job_seconds += time.monotonic() - since
        return state

    async def watch_for_doubles(self, operator: Operator) -> None:
        """Note each job that has two objects which are not being deleted, at any time."""
        while True:
            living = [item["metadata"] for item in await operator.ray_jobs()]
            owners = Counter(item["labels"][JOB_LABEL] for item in living if "deletionTimestamp" not in item)
            self.doubled |= {job_id for job_id, count in owners.items() if count > 1}
            await asyncio.sleep(0.2)


def _write(plan: AttemptPlan, step: int) -> object:
    folder = place_for(Path(plan.checkpoint_folder), step, plan.attempt)
    (folder / ADAPTER).mkdir(parents=True, exist_ok=True)
    for name in (f"{ADAPTER}/adapter_model.safetensors", OPTIMIZER, POSITION):
        (folder / name).write_text(f"{step} by {plan.attempt} of {plan.training_job_id}")
    saved = write_manifest(folder, step=step, attempt=plan.attempt, config_digest=plan.config_digest)
    return stored(plan, saved)


async def measure(control_plane: ControlPlane, trainings: Trainings, num_jobs: int) -> dict[str, object]:
    """Let jobs live and end, and return the figures."""
    client = KubernetesClient(NAMESPACE, control_plane.kubeconfig)
    runner = JobRunner(trainings.bench.jobs, owner="trainer", is_only_owner=True)
    runner.register(KIND, trainings.work.run, limit=num_jobs, cleanup=trainings.work.clear)
    await runner.start()
    since = time.monotonic()
    async with Operator(client, trainings.train) as operator:
        doubles = asyncio.create_task(trainings.watch_for_doubles(operator))
        ends = await asyncio.gather(*(trainings.live(number) for number in range(num_jobs)))
        seconds, num_calls = time.monotonic() - since, trainings.client.num_calls
        # Pods of the last ones may still be on their way.
        for _ in range(300):
            left = [item["metadata"]["name"] for item in (*await operator.ray_jobs(), *await operator.pods())]
            if not left:
                break
            await asyncio.sleep(0.1)
        doubles.cancel()
    await runner.stop(10)
    await trainings.backend.close()
    return {
        "jobs": num_jobs,
        "ends": dict(Counter(end.value for end in ends)),
        **trainings.counts,
        "seconds": round(seconds),
        "api_calls": num_calls,
        "api_calls_per_job_and_second": round(num_calls / trainings.job_seconds, 3),
        "left": left,
        "doubled": sorted(trainings.doubled),
    }


def main() -> None:
    """Measure once, and print the figures as JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.cluster")
    parser.add_argument("--jobs", type=int, default=100)
    parser.add_argument("--step-seconds", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    random.seed(arguments.seed)
    with tempfile.TemporaryDirectory() as name, run_control_plane(Path(name)) as control_plane:
        definition = Path(name) / "definition.json"
        definition.write_text(json.dumps(DEFINITION))
        control_plane.kubectl("apply", "-f", str(definition))
        control_plane.kubectl("wait", "--for=condition=Established", "crd/rayjobs.ray.io")
        rights = render("--set", "training.backend=kubernetes")
        kubeconfig = control_plane.kubeconfig_of("dy-trainer", NAMESPACE, rights)
        client = KubernetesClient(NAMESPACE, kubeconfig)
        trainings = Trainings(Bench(Path(name) / "trainer"), client, arguments.step_seconds)
        print(json.dumps(asyncio.run(measure(control_plane, trainings, arguments.jobs)), indent=1))


if __name__ == "__main__":
    main()
