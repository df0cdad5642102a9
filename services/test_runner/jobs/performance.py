"""One attempt of a run: which sessions are open, when they are asked, and when they are committed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import structlog

from services.chassis.errors import FailedPrecondition
from services.chassis.jobs import JobContext, JobPaused
from services.protocols.cases import Case
from services.test_runner.domain import Environment, Item, RunRecord, TestRunSpec, items
from services.test_runner.jobs.cases import CaseReader
from services.test_runner.jobs.play import Play
from services.test_runner.jobs.progress import RunProgress
from services.test_runner.jobs.round import Round, play_round, workload_of
from services.test_runner.ports import Answer, BackendFaultError, GenerationBackend, RunStore
from services.test_runner.resolution import profile_of
from services.test_runner.telemetry import TestRunnerTelemetry

_MAX_TRIES = 2
# In the throughput mode: sessions in work at once, in windows, and how many may be over before they are committed.
_WINDOWS_IN_FLIGHT = 4
_COMMIT_SIZE = 16
_log = structlog.get_logger()


@dataclass(frozen=True)
class Stage:
    """What all runs of the service share."""

    store: RunStore
    backend: GenerationBackend
    telemetry: TestRunnerTelemetry


class Performance:
    """Plays the sessions of a run that are not stored yet.

    By default they go in windows: what is asked together, and in which order, follows from the run alone, and a window
    is committed and redone as a whole. With `throughput` a session that is over gives its place to the next at once.
    """

    def __init__(
        self,
        stage: Stage,
        context: JobContext,
        *,
        spec: TestRunSpec,
        record: RunRecord,
        cases: CaseReader,
        after_commit: Callable[[], Awaitable[None]],
    ) -> None:
        self._stage, self._context, self._spec, self._record = stage, context, spec, record
        self._cases, self._after_commit = cases, after_commit
        self._profile = profile_of(record.inputs.profile_id)
        total = record.inputs.num_cases * spec.num_repeats
        self._progress = RunProgress(context, num_stored=record.num_transcripts, num_total=total)
        self._plays: list[Play] = []
        self._round = Round(record.environment)
        self._num_tries = 0

    async def play(self) -> RunRecord:
        """Play all that is left, and return the run with its counts.

        Raises:
            JobPaused: A pause was asked for, and a window is committed.
            FailedPrecondition: The model cannot be loaded, or its endpoint is away and nothing was ever answered.
        """
        plan = self._plan(await self._stored())
        while await self._refill(plan):
            await self._play_round()
            if all(play.is_over for play in self._plays) or self._spec.throughput:
                await self._commit()
                if self._context.pause_requested and self._record.num_transcripts < self._num_total:
                    raise JobPaused
        return self._record

    @property
    def _num_total(self) -> int:
        return self._record.inputs.num_cases * self._spec.num_repeats

    async def _stored(self) -> frozenset[tuple[str, int]]:
        if not self._spec.throughput:
            return frozenset()
        return await self._stage.store.stored_cases(self._record.test_run_id)

    async def _plan(self, stored: frozenset[tuple[str, int]]) -> AsyncIterator[tuple[Item, Case]]:
        """Yield what is left; windows are stored in the order of the plan, and in the throughput mode by their case."""
        num_done = 0 if self._spec.throughput else self._record.num_transcripts
        for item in items(self._record.inputs.num_cases, self._spec.num_repeats, num_done=num_done):
            case = await self._cases.case_of(item)
            if (case.case_id, item.repeat) not in stored:
                yield item, case

    async def _refill(self, plan: AsyncIterator[tuple[Item, Case]]) -> bool:
        """Open as many sessions as have a place, and return whether any is open."""
        if self._plays and not self._spec.throughput:
            return True
        places = self._record.inputs.window_size * (_WINDOWS_IN_FLIGHT if self._spec.throughput else 1)
        drawn: list[tuple[Item, Case]] = []
        while len(self._plays) + len(drawn) < places and (entry := await anext(plan, None)):
            drawn.append(entry)
        if drawn:
            self._plays += await asyncio.to_thread(self._open, drawn)
        return bool(self._plays)

    def _open(self, drawn: list[tuple[Item, Case]]) -> list[Play]:
        return [Play(self._profile, case, item, self._spec) for item, case in drawn]

    async def _play_round(self) -> None:
        asked = {play.key: play for play in self._plays if not play.is_over}
        prompts = await asyncio.to_thread(lambda: [play.prompt() for play in asked.values()])
        workload = workload_of(self._spec, self._record, prompts)

        async def take(answer: Answer) -> None:
            await self._take(asked, answer)

        self._round = Round(self._record.environment)
        await play_round(self._stage.backend, workload, self._round, self._progress, take)
        unanswered = [play for key, play in asked.items() if key not in self._round.answered]
        if unanswered:
            await self._break(unanswered, self._round)

    async def _take(self, asked: dict[str, Play], answer: Answer) -> None:
        play = asked.get(answer.key)
        if play is None or play.is_over:
            return
        await asyncio.to_thread(play.take, answer)
        if play.is_over:
            await self._progress.session_over()
            if self._spec.throughput and sum(other.is_over for other in self._plays) >= _COMMIT_SIZE:
                await self._commit()

    async def _break(self, unanswered: list[Play], got: Round) -> None:
        """Have the window run again, or count those without an answer as faults of the backend."""
        fault = got.fault or BackendFaultError("The backend ended without an answer.")
        self._num_tries += 1
        _log.warning("window_failed", attempt=self._num_tries, reason=str(fault))
        self._stage.telemetry.window_failed()
        if self._num_tries < _MAX_TRIES and not got.is_late:
            await self._context.event("message", {"text": f"{fault} The window is run again."})
            await self._restart()
        else:
            await self._give_up(unanswered, got, fault)

    async def _give_up(self, unanswered: list[Play], got: Round, fault: BackendFaultError) -> None:
        if not got.is_loaded and (self._spec.endpoint is None or self._record.num_generated_tokens == 0):
            raise _cannot_begin(fault, self._spec)
        await self._context.event("message", {"text": f"{fault} Cases without an answer count as backend faults."})
        for play in unanswered:
            play.fail(str(fault))
            await self._progress.session_over()

    async def _restart(self) -> None:
        # A window is redone as a whole: what a turn is computed from is then the same as in a run without the fault.
        if not self._spec.throughput:
            await asyncio.to_thread(self._rewind)
            await self._progress.restarted()

    def _rewind(self) -> None:
        for play in self._plays:
            play.restart()

    async def _commit(self) -> None:
        over = [play for play in self._plays if play.is_over]
        if not over:
            return
        run_id, first = self._record.test_run_id, self._record.num_transcripts + 1
        transcripts = [play.transcript(run_id, first + place) for place, play in enumerate(over)]
        known = self._record.environment
        environment = known if known != Environment() else self._round.environment
        self._record = await self._stage.store.append_window(run_id, self._context.epoch, environment, transcripts)
        self._plays = [play for play in self._plays if not play.is_over]
        self._num_tries = 0
        self._stage.telemetry.transcripts_stored(transcripts)
        await self._progress.window_stored(self._record.num_transcripts)
        await self._after_commit()


def _cannot_begin(fault: BackendFaultError, spec: TestRunSpec) -> FailedPrecondition:
    if spec.endpoint is not None:
        return FailedPrecondition(
            f"The endpoint cannot be asked: {fault}", "Check that its server runs and that the base URL is right."
        )
    return FailedPrecondition(
        f"The model cannot be loaded: {fault}",
        "Look at the service's log for what the worker said last, and check memory and the model's files.",
    )
