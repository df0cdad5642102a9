"""What services, store and judge cost: a run with its evaluation over gRPC, against the bare engine in one process."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager, closing
from pathlib import Path

from drillyard.evaluator.v1 import evaluation_pb2, evaluator_service_pb2_grpc
from drillyard.job.v1 import job_pb2
from drillyard.test_runner.v1 import test_run_pb2, test_runner_service_pb2_grpc

from tests.bench.testing.bare import PROMPT_SIZE, BareEngine, RunSettings
from tests.integration.processes import start_service
from tests.integration.tiny_stack import MODEL, add_suite, connected, core_cases, import_model


def measure_platform(settings: RunSettings, num_pairs: int) -> list[tuple[float, float]]:
    """Return pairs of cases per second, with all services and of the bare engine, each first in turn, both warm."""
    pairs = asyncio.run(_pairs(settings, num_pairs))
    return [(settings.num_cases / ours, settings.num_cases / bare) for ours, bare in pairs]


async def _pairs(settings: RunSettings, num_pairs: int) -> list[tuple[float, float]]:
    with tempfile.TemporaryDirectory() as temporary, closing(BareEngine(settings)) as engine:
        async with _platform(settings, Path(temporary)) as run:
            await run()
            engine.run()
            pairs = []
            for place in range(num_pairs):
                if place % 2:
                    alone = engine.run()
                    pairs.append((await run(), alone))
                else:
                    pairs.append((await run(), engine.run()))
                print(
                    f"  platform {place + 1}/{num_pairs}: {pairs[-1][0]:.2f} s against {pairs[-1][1]:.2f} s", flush=True
                )
            return pairs


@asynccontextmanager
async def _platform(settings: RunSettings, folder: Path) -> AsyncIterator[Callable[[], Awaitable[float]]]:
    with ExitStack() as ending:
        registry = ending.enter_context(start_service("registry", folder))
        await import_model(registry, Path(settings.model))
        suite = await add_suite(registry, folder, "roo_xml/bench", core_cases(settings.num_cases))
        runner = ending.enter_context(
            start_service(
                "test_runner",
                folder,
                registry_address=registry.address,
                num_threads=settings.num_threads,
                idle_seconds=3600,
                window_size=max(settings.num_cases, 1),
            )
        )
        evaluator = ending.enter_context(
            start_service("evaluator", folder, registry_address=registry.address, test_runner_address=runner.address)
        )
        async with connected(runner) as to_runner, connected(evaluator) as to_evaluator:
            runs = test_runner_service_pb2_grpc.TestRunnerServiceStub(to_runner)
            evaluations = evaluator_service_pb2_grpc.EvaluatorServiceStub(to_evaluator)
            numbers = itertools.count()

            async def once() -> float:
                name, start = f"bench-{next(numbers)}", time.perf_counter()
                spec = test_run_pb2.TestRunSpec(
                    model_version_id=MODEL,
                    test_suite_version_id=suite,
                    prompt_size=PROMPT_SIZE,
                    dtype=settings.dtype,
                    sampling=test_run_pb2.Sampling(max_new_tokens=settings.max_new_tokens),
                )
                run = (await runs.CreateTestRun(test_run_pb2.CreateTestRunRequest(request_id=name, spec=spec))).test_run
                asked = evaluation_pb2.CreateEvaluationRequest(request_id=name, test_run_id=run.test_run_id)
                evaluation_id = (await evaluations.CreateEvaluation(asked)).evaluation.evaluation_id
                watch = evaluation_pb2.WatchEvaluationRequest(evaluation_id=evaluation_id)
                async for _ in evaluations.WatchEvaluation(watch):
                    pass
                seconds = time.perf_counter() - start
                got = evaluation_pb2.GetEvaluationRequest(evaluation_id=evaluation_id)
                ended = (await evaluations.GetEvaluation(got)).evaluation
                assert ended.job.state == job_pb2.JOB_STATE_SUCCEEDED, ended.job.error
                assert ended.metrics.overall.num_cases == settings.num_cases
                return seconds

            yield once
