"""What service, Ray and store cost: a job of 200 short steps over gRPC, against the bare loop; and a second worker.

The steps are short, of a small random model: a cost for each step shows, where real steps would hide it.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import structlog
from drillyard.job.v1 import job_pb2
from drillyard.trainer.v1 import trainer_service_pb2_grpc, training_job_pb2, training_spec_pb2

from services.lm.tiny import write_tiny_model
from services.trainer.domain.plan import AttemptPlan
from tests.bench.pairs import Comparison, comparison_of
from tests.bench.training.bench import Bench
from tests.fakes.system.registry import serve_registry
from tests.integration.processes import start_service
from tests.integration.tiny_stack import connected
from tests.unit.trainer.training_bench import dataset_rows, write_plan

_STEPS: Final = 200
_SIZES: Final = {"hidden_size": 192, "num_layers": 6, "max_positions": 8192}
_SPEC: Final[dict[str, Any]] = {
    "batch_size": 8,
    "max_steps": _STEPS,
    "save_steps": 50,
    "seed": 5,
    # The rows are made up, with cases of the built-in suites.
    "allow_suite_overlap": True,
}
_NUM_ROWS: Final = 64

Times = tuple[float, float]
"""Seconds from the start to the end, and from the first step to the last."""
RunJob = Callable[[int], Awaitable[Times]]


def jobs(bench: Bench) -> Iterator[Comparison]:
    """Steps a second: of a job and the bare loop, with and without their starts, and of two workers and one."""
    folder = bench.scratch / "platform"
    folder.mkdir()
    # The registry is in this process.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    write_tiny_model(folder / "tiny", **_SIZES)
    pairs, workers = asyncio.run(_measured(folder, bench))
    details = {"unit": "steps/s", "steps": _STEPS, "model": str(_SIZES), "rows_per_step": _SPEC["batch_size"]}
    for name, place in (("platform_whole", 0), ("platform_steps", 1)):
        yield comparison_of(name, [(_STEPS / ours[place], _STEPS / bare[place]) for ours, bare in pairs], details)
    yield comparison_of("platform_two_workers", [(_STEPS / two[1], _STEPS / one[1]) for two, one in workers], details)


async def _measured(folder: Path, bench: Bench) -> tuple[list[tuple[Times, Times]], list[tuple[Times, Times]]]:
    """Pairs of job and bare loop, and of two workers and one; the first job, whose Ray is cold, is not counted."""
    plan = write_plan(folder, dataset_rows(_NUM_ROWS), **_SPEC, lora={"r": 16})
    plan = replace(plan, num_threads=bench.options.threads)
    pairs, workers = [], []
    deadline = time.monotonic() + bench.options.budget
    async with _platform(folder, bench.options.threads) as run:
        print(f"  first job: {(await run(1))[0]:.1f} s", flush=True)
        while len(pairs) < bench.options.pairs and not (pairs and time.monotonic() > deadline):
            number = len(pairs)
            bare = _bare(plan, folder / f"bare-{number}") if number % 2 else None
            job = await run(1)
            pairs.append((job, bare or _bare(plan, folder / f"bare-{number}")))
            workers.append((await run(2), job))
            print(f"  platform, whole and steps: {pairs[-1]}; two workers: {workers[-1][0]}", flush=True)
    return pairs, workers


def _bare(plan: AttemptPlan, checkpoints: Path) -> Times:
    own = replace(plan, checkpoint_folder=str(checkpoints))
    start = time.perf_counter()
    command = [sys.executable, "-m", "tests.bench.training.bare_loop"]
    done = subprocess.run(command, input=own.to_json() + "\n", stdout=subprocess.PIPE, text=True, check=True)
    return time.perf_counter() - start, float(done.stdout)


@asynccontextmanager
async def _platform(folder: Path, threads: int) -> AsyncIterator[RunJob]:
    numbers = itertools.count()
    settings: dict[str, object] = {"dtype": "float32", "num_threads": threads}
    async with serve_registry(folder, folder / "tiny", dataset_rows(_NUM_ROWS)) as registry:
        with start_service("trainer", folder, registry_address=registry.address, **settings) as service:
            async with connected(service) as channel:
                stub = trainer_service_pb2_grpc.TrainerServiceStub(channel)

                async def run(num_workers: int) -> Times:
                    return await _job(stub, f"bench-{next(numbers)}", num_workers)

                yield run


async def _job(stub: Any, name: str, num_workers: int) -> Times:
    spec = training_spec_pb2.TrainingJobSpec(
        model_version_id="tiny", dataset_version_id="drills", num_workers=num_workers, **_SPEC
    )
    start, times = time.perf_counter(), {}
    created = await stub.CreateTrainingJob(training_job_pb2.CreateTrainingJobRequest(request_id=name, spec=spec))
    key = created.training_job.training_job_id
    async for response in stub.WatchTrainingJob(training_job_pb2.WatchTrainingJobRequest(training_job_id=key)):
        if response.point.metric == "loss":
            times[response.point.step] = response.event.event_time.ToMicroseconds() / 1e6
    seconds = time.perf_counter() - start
    ended = await stub.GetTrainingJob(training_job_pb2.GetTrainingJobRequest(training_job_id=key))
    if ended.training_job.job.state != job_pb2.JOB_STATE_SUCCEEDED:
        raise SystemExit(f"The job did not end well: {ended.training_job.job.error}")
    return seconds, times[_STEPS] - times[1]
