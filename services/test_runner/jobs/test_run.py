"""The job of a test run: window after window of cases, each committed as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

import structlog

from services.chassis.errors import FailedPrecondition
from services.chassis.jobs import JobContext, Json
from services.chassis.waiting import patiently, with_heartbeat
from services.protocols.cases import Case
from services.test_runner.domain import (
    KIND,
    Environment,
    FinishReason,
    Item,
    Message,
    RunRecord,
    TestRunSpec,
    Transcript,
    answer_seed,
    windows,
)
from services.test_runner.jobs.progress import RunProgress
from services.test_runner.ports import (
    Activity,
    Answer,
    BackendFaultError,
    GenerationBackend,
    Prepared,
    Prompt,
    Registry,
    RunStore,
    Workload,
)
from services.test_runner.resolution import profile_of, resolve_inputs
from services.test_runner.telemetry import TestRunnerTelemetry

HEARTBEAT_SECONDS = 2.0
PATIENCE_SECONDS = 600.0
_MAX_TRIES = 2
_log = structlog.get_logger()


@dataclass(frozen=True)
class _Task:
    """What a run needs from start to end; `record` is the run as it is stored."""

    context: JobContext
    spec: TestRunSpec
    cases: tuple[Case, ...]
    progress: RunProgress


class TestRunJob:
    """Answers every case of a run. A run whose process died goes on with the first window that is not stored."""

    kind = KIND

    def __init__(
        self,
        *,
        store: RunStore,
        registry: Registry,
        backend: GenerationBackend,
        telemetry: TestRunnerTelemetry,
        window_size: int,
    ) -> None:
        self._store = store
        self._registry = registry
        self._backend = backend
        self._telemetry = telemetry
        self._window_size = window_size

    async def __call__(self, context: JobContext) -> Json:
        """Store a transcript for every case and repeat, and return their number."""
        spec = TestRunSpec.from_document(context.job.spec)
        record = await self._record(context.job.job_id, spec)
        total = record.inputs.num_cases * spec.num_repeats
        progress = RunProgress(context, num_stored=record.num_transcripts, num_total=total)
        task = _Task(context, spec, await self._cases(record), progress)
        for window in windows(record.inputs, spec.num_repeats, num_done=record.num_transcripts):
            record = await self._run_window(task, record, window)
        return {"num_transcripts": record.num_transcripts, "num_generated_tokens": record.num_generated_tokens}

    async def _record(self, test_run_id: str, spec: TestRunSpec) -> RunRecord:
        # The process may have died after it stored the job and before it stored the inputs.
        known = await self._store.get_run(test_run_id)
        if known is not None:
            return known
        inputs = await patiently(
            lambda: resolve_inputs(self._registry, spec, window_size=self._window_size), PATIENCE_SECONDS
        )
        return await self._store.add_run(RunRecord(test_run_id, inputs))

    async def _cases(self, record: RunRecord) -> tuple[Case, ...]:
        suite = record.inputs.test_suite_version_id
        cases = await patiently(lambda: self._registry.list_cases(suite), PATIENCE_SECONDS)
        if len(cases) != record.inputs.num_cases:
            raise FailedPrecondition(
                f"The suite {suite} has {len(cases)} cases, but {record.inputs.num_cases} when the run was created.",
                "Check the registry's data; suite versions never change.",
            )
        return cases

    async def _run_window(self, task: _Task, record: RunRecord, window: tuple[Item, ...]) -> RunRecord:
        prompts = [_prompt(task, record, item) for item in window]
        got = await self._answer(task, record, prompts)
        transcripts = [
            _transcript(task, item, prompt, got.answers.get(prompt.key))
            for item, prompt in zip(window, prompts, strict=True)
        ]
        stored = await self._store.append_window(record.test_run_id, task.context.epoch, got.environment, transcripts)
        self._telemetry.transcripts_stored(transcripts)
        await task.progress.window_stored(stored.num_transcripts)
        return stored

    async def _answer(self, task: _Task, record: RunRecord, prompts: Sequence[Prompt]) -> _Try:
        """Return the first try that ends well, or what the last one got."""
        workload = _workload(task.spec, record, prompts)
        for number in range(1, _MAX_TRIES + 1):
            attempt = _Try(record.environment)
            await task.progress.window_started()
            try:
                await self._collect(task, workload, attempt)
                break
            except BackendFaultError as fault:
                await self._report(task, fault, number=number, is_loaded=attempt.is_loaded)
        return attempt

    async def _collect(self, task: _Task, workload: Workload, attempt: _Try) -> None:
        async with aclosing(with_heartbeat(self._backend.generate(workload), HEARTBEAT_SECONDS)) as events:
            async for event in events:
                match event:
                    case Answer():
                        attempt.answers[event.key] = event
                        await task.progress.answered()
                    case Prepared(environment):
                        attempt.environment, attempt.is_loaded = environment, True
                    case Activity():
                        await task.progress.active(event)
                    case None:
                        await task.progress.still_alive()

    async def _report(self, task: _Task, fault: BackendFaultError, *, number: int, is_loaded: bool) -> None:
        _log.warning("window_failed", attempt=number, reason=str(fault))
        self._telemetry.window_failed()
        if number < _MAX_TRIES:
            await task.context.event("message", {"text": f"{fault} The window is run again."})
        elif is_loaded:
            await task.context.event("message", {"text": f"{fault} Cases without an answer count as backend faults."})
        else:
            raise FailedPrecondition(
                f"The model cannot be loaded: {fault}",
                "Look at the service's log for what the worker said last, and check memory and the model's files.",
            ) from fault


@dataclass
class _Try:
    """What one try of a window has brought."""

    environment: Environment
    answers: dict[str, Answer] = field(default_factory=dict)
    is_loaded: bool = False


def _workload(spec: TestRunSpec, record: RunRecord, prompts: Sequence[Prompt]) -> Workload:
    # What generated the first window generates all: another number format or thread count could change answers.
    return Workload(
        base=record.inputs.base,
        adapter=record.inputs.adapter,
        prompts=tuple(prompts),
        sampling=spec.sampling,
        dtype=record.environment.dtype or spec.dtype,
        num_threads=record.environment.num_threads,
    )


def _prompt(task: _Task, record: RunRecord, item: Item) -> Prompt:
    case = task.cases[item.case_index]
    turns = profile_of(record.inputs.profile_id).messages(case, task.spec.prompt_size)
    return Prompt(
        key=str(item.sequence),
        messages=tuple(Message(turn["role"], turn["content"]) for turn in turns),
        seed=answer_seed(task.spec.seed, case.case_id, item.repeat),
    )


def _transcript(task: _Task, item: Item, prompt: Prompt, answer: Answer | None) -> Transcript:
    answer = answer or Answer(prompt.key, "", FinishReason.BACKEND_FAULT)
    return Transcript(
        test_run_id=task.context.job.job_id,
        sequence=item.sequence,
        case_id=task.cases[item.case_index].case_id,
        repeat=item.repeat,
        messages=(*prompt.messages, Message("assistant", answer.text)),
        finish_reason=answer.finish_reason,
        token_ids=answer.token_ids,
        num_prompt_tokens=answer.num_prompt_tokens,
        num_cached_tokens=answer.num_cached_tokens,
        prefill_seconds=answer.prefill_seconds,
        decode_seconds=answer.decode_seconds,
    )
