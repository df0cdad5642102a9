"""One round of a run: what all open sessions ask, asked at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from services.chassis.waiting import with_heartbeat
from services.test_runner.domain import Environment, RunRecord, TestRunSpec
from services.test_runner.jobs.progress import RunProgress
from services.test_runner.ports import (
    Activity,
    Answer,
    BackendFaultError,
    GenerationBackend,
    Prepared,
    Prompt,
    Workload,
)

HEARTBEAT_SECONDS = 2.0

OnAnswer = Callable[[Answer], Awaitable[None]]


@dataclass
class Round:
    """What one round has brought; `fault` is why it brought no more, `is_late` when that is its time."""

    environment: Environment
    answered: set[str] = field(default_factory=set)
    is_loaded: bool = False
    is_late: bool = False
    fault: BackendFaultError | None = None


async def play_round(
    backend: GenerationBackend, workload: Workload, got: Round, progress: RunProgress, on_answer: OnAnswer
) -> None:
    """Ask the backend, note in `got` what comes, and give each answer to `on_answer` at once.

    Raises:
        ServiceError: The workload cannot be served however often it is tried.
    """
    await progress.round_started()
    try:
        async with asyncio.timeout(_limit(workload)) as limit:
            await _collect(backend, workload, got, progress, on_answer)
    except BackendFaultError as fault:
        got.fault = fault
    except TimeoutError:
        if not limit.expired():
            raise
        got.fault, got.is_late = BackendFaultError("The cases took longer than their limits allow."), True


def workload_of(spec: TestRunSpec, record: RunRecord, prompts: Sequence[Prompt]) -> Workload:
    """Return what a round asks of the backend.

    What generated the first window generates all: another number format, thread count or device could change answers.
    """
    return Workload(
        base=record.inputs.base,
        adapter=record.inputs.adapter,
        prompts=tuple(prompts),
        sampling=spec.sampling,
        dtype=record.environment.dtype or spec.dtype,
        num_threads=record.environment.num_threads or record.inputs.num_threads,
        endpoint=spec.endpoint,
        log_probs=spec.log_probs,
        device=record.environment.device,
    )


def _limit(workload: Workload) -> float | None:
    # Cases of a worker are computed together, so none can be told to be late; together they have all their time.
    return None if workload.endpoint else sum(prompt.timeout_seconds for prompt in workload.prompts)


async def _collect(
    backend: GenerationBackend, workload: Workload, got: Round, progress: RunProgress, on_answer: OnAnswer
) -> None:
    async with aclosing(with_heartbeat(backend.generate(workload), HEARTBEAT_SECONDS)) as events:
        async for event in events:
            match event:
                case Answer():
                    got.answered.add(event.key)
                    await on_answer(event)
                case Prepared(environment):
                    got.environment, got.is_loaded = environment, True
                case Activity():
                    await progress.active(event)
                case None:
                    await progress.still_alive()
