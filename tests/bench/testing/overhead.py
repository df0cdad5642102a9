"""What services, store and judge cost: a run with its evaluation over gRPC, against the bare engine in one process."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

from drillyard.evaluator.v1 import evaluation_pb2, evaluator_service_pb2_grpc
from drillyard.job.v1 import job_pb2
from drillyard.test_runner.v1 import test_run_pb2, test_runner_service_pb2_grpc

from services.lm.chat import encode_prompt
from services.lm.generation.engine import Engine
from services.lm.generation.requests import GenerationRequest
from services.lm.loading import load, prepare_process
from services.protocols.cases import Case
from services.protocols.profile import get_profile
from services.test_runner.domain import answer_seed
from tests.integration.processes import start_service
from tests.integration.tiny_stack import MODEL, add_suite, connected, core_cases, import_model

_PROMPT_SIZE = "compact"


@dataclasses.dataclass(frozen=True)
class PlatformSettings:
    """What both sides share; `model` is a folder with merged weights."""

    model: Path
    dtype: str
    num_threads: int
    num_cases: int
    max_new_tokens: int
    num_pairs: int


def measure_platform(settings: PlatformSettings) -> list[tuple[float, float]]:
    """Return pairs of cases per second, with all services and of the bare engine, each first in turn, both warm."""
    pairs = asyncio.run(_pairs(settings))
    return [(settings.num_cases / ours, settings.num_cases / bare) for ours, bare in pairs]


async def _pairs(settings: PlatformSettings) -> list[tuple[float, float]]:
    cases = core_cases(settings.num_cases)
    bare = _bare(settings, cases)
    with tempfile.TemporaryDirectory() as temporary:
        async with _platform(settings, Path(temporary), cases) as run:
            await run()
            bare()
            pairs = []
            for place in range(settings.num_pairs):
                if place % 2:
                    alone = bare()
                    pairs.append((await run(), alone))
                else:
                    pairs.append((await run(), bare()))
            return pairs


def _bare(settings: PlatformSettings, cases: list[Case]) -> Callable[[], float]:
    prepare_process(settings.num_threads)
    loaded = load(settings.model, dtype=settings.dtype)
    engine, profile = Engine(loaded), get_profile("roo_xml")

    def once() -> float:
        start = time.perf_counter()
        requests = [
            GenerationRequest(
                key=str(place),
                prompt_ids=encode_prompt(loaded.tokenizer, profile.messages(case, _PROMPT_SIZE)),
                max_new_tokens=settings.max_new_tokens,
                seed=answer_seed(0, case.case_id, 0),
                # As a run asks, whose cases may go on for several turns.
                is_continued=True,
            )
            for place, case in enumerate(cases)
        ]
        for result in engine.generate(requests):
            assert result.token_ids
        return time.perf_counter() - start

    return once


@asynccontextmanager
async def _platform(
    settings: PlatformSettings, folder: Path, cases: list[Case]
) -> AsyncIterator[Callable[[], Awaitable[float]]]:
    with ExitStack() as ending:
        registry = ending.enter_context(start_service("registry", folder))
        await import_model(registry, settings.model)
        suite = await add_suite(registry, folder, "roo_xml/bench", cases)
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
                    prompt_size=_PROMPT_SIZE,
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
