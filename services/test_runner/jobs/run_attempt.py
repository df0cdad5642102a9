"""One attempt of a run: which sessions are open, when they are asked, and when they are committed."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

import structlog

from services.chassis.database.lease import check_lease
from services.chassis.errors import FailedPrecondition, ResourceExhausted
from services.chassis.jobs import JobContext, JobPaused
from services.chassis.waiting import with_heartbeat
from services.protocols.cases import Case
from services.test_runner.domain.test_run import Environment, Item, RunRecord, TestRunSpec
from services.test_runner.domain.transcript import Transcript
from services.test_runner.jobs.case_session import CaseSession
from services.test_runner.jobs.progress import RunProgress
from services.test_runner.jobs.windows import Windows, num_total_of
from services.test_runner.ports.generation import (
    Activity,
    Answer,
    BackendFaultError,
    GenerationBackend,
    GenerationEvent,
    Prepared,
    Prompt,
    Workload,
)
from services.test_runner.ports.store import RunStore
from services.test_runner.resolution import profile_of
from services.test_runner.telemetry import TestRunnerTelemetry

_Kept = Mapping[tuple[str, int], Transcript]

HEARTBEAT_SECONDS = 2.0
# How often a process without a window looks whether one of the others' has become free, or all are stored.
_LOOK_SECONDS = 0.5
_MAX_TRIES = 2
# How often an attempt asks a part of a window by itself, to find the case that breaks the backend.
_MAX_PARTS = 64
# In the throughput mode: sessions in work at once, in windows, and how many may be over before they are committed.
_WINDOWS_IN_FLIGHT = 4
_COMMIT_SIZE = 16
_log = structlog.get_logger()


@dataclass
class _TurnResult:
    """What came when all open sessions were asked once.

    `fault` is why no more came; `is_late` says that it is the time. `limit` is set when the model is loaded.
    """

    answered: set[str] = field(default_factory=set)
    is_loaded: bool = False
    is_late: bool = False
    fault: BackendFaultError | None = None
    limit: asyncio.Timeout = field(default_factory=lambda: asyncio.timeout(None))

    def unanswered(self, sessions: Iterable[CaseSession]) -> list[CaseSession]:
        """Return those of the sessions that were asked and got no answer."""
        return [session for session in sessions if session.key not in self.answered]


class RunAttempt:
    """Asks the sessions of a run that are not stored yet.

    By default they go in windows: what is asked together, and in which order, follows from the run alone, and a window
    is committed and redone as a whole. With `throughput` a session that is over gives its place to the next at once.
    """

    def __init__(
        self,
        context: JobContext,
        spec: TestRunSpec,
        windows: Windows,
        *,
        store: RunStore,
        backend: GenerationBackend,
        telemetry: TestRunnerTelemetry,
    ) -> None:
        self._context, self._spec, self._windows = context, spec, windows
        self._store, self._backend, self._telemetry = store, backend, telemetry
        self._profile = profile_of(self._record.inputs.profile_id)
        self._num_total = num_total_of(self._record, spec)
        self._progress = RunProgress(context, num_stored=self._record.num_transcripts, num_total=self._num_total)
        self._sessions: list[CaseSession] = []
        self._environment = self._record.environment
        self._num_tries, self._num_parts = 0, 0

    @property
    def _record(self) -> RunRecord:
        return self._windows.record

    async def run(self, after_commit: Callable[[], Awaitable[None]]) -> RunRecord:
        """Ask all that is left for this attempt, and return the run with its counts.

        Raises:
            JobPaused: A pause was asked for, and a window is committed.
            FailedPrecondition: The model cannot be loaded, or its endpoint is away and nothing was ever answered.
        """
        self._after_commit = after_commit
        while await self._open_sessions():
            if not all(session.is_over for session in self._sessions):
                await self._ask_turn()
            if all(session.is_over for session in self._sessions) or self._spec.throughput:
                await self._commit()
                is_alone = not self._windows.is_shared
                if is_alone and self._context.pause_requested and self._record.num_transcripts < self._num_total:
                    raise JobPaused
        return self._record

    async def _open_sessions(self) -> bool:
        """Open as many sessions as have a place, and return whether any is open."""
        if self._sessions and not self._spec.throughput:
            return True
        places = self._record.inputs.window_size * (_WINDOWS_IN_FLIGHT if self._spec.throughput else 1)
        entries = await self._windows.take(places - len(self._sessions))
        while not entries and self._windows.others_work:
            await self._progress.window_stored(self._record.num_transcripts + self._record.num_ahead)
            await asyncio.sleep(_LOOK_SECONDS)
            entries = await self._windows.take(places)

        transcripts = await self._kept({case.case_id for _, case in entries})
        # What a worker computes together decides how it rounds: a window is asked as a whole, or not at all.
        is_window = not self._spec.throughput and self._spec.endpoint is None
        asks_all = is_window and any((case.case_id, item.repeat) not in transcripts for item, case in entries)

        def opened() -> list[CaseSession]:
            return [self._session(item, case, transcripts, asks_all=asks_all) for item, case in entries]

        self._sessions += await asyncio.to_thread(opened) if entries else []
        return bool(self._sessions)

    def _session(self, item: Item, case: Case, transcripts: _Kept, *, asks_all: bool) -> CaseSession:
        transcript = transcripts.get((case.case_id, item.repeat))
        asks = asks_all or transcript is None
        return CaseSession(self._profile, case, item, self._spec, kept=transcript, asks=asks)

    async def _kept(self, case_ids: Collection[str]) -> _Kept:
        """Return the transcripts of cases that the repeated run has answered, where its answers are kept."""
        if not self._spec.keep_answers or not case_ids:
            return {}
        transcripts = await self._store.find_transcripts(self._spec.repeat_of_test_run_id, case_ids)
        return {(item.case_id, item.repeat): item for item in transcripts if item.is_answered}

    async def _ask_turn(self) -> None:
        """Ask what all open sessions ask next, at once."""
        sessions = [session for session in self._sessions if not session.is_over]
        result = await self._ask(sessions)
        if unanswered := result.unanswered(sessions):
            await self._retry_or_give_up(unanswered, result)

    async def _ask(self, open_sessions: Iterable[CaseSession]) -> _TurnResult:
        check_lease()
        sessions = {session.key: session for session in open_sessions}
        prompts = await asyncio.to_thread(lambda: [session.prompt() for session in sessions.values()])
        result, self._environment = _TurnResult(), self._record.environment
        await self._progress.turn_started()
        workload = _workload(self._spec, self._record, prompts)
        try:
            async with result.limit:
                await self._generate(workload, sessions, result)
        except BackendFaultError as fault:
            result.fault = fault
        except TimeoutError:
            if not result.limit.expired():
                raise
            result.fault, result.is_late = BackendFaultError("The cases took longer than their limits allow."), True
        return result

    async def _generate(self, workload: Workload, sessions: dict[str, CaseSession], result: _TurnResult) -> None:
        async with aclosing(with_heartbeat(self._events(workload, result), HEARTBEAT_SECONDS)) as events:
            async for event in events:
                match event:
                    case Answer():
                        result.answered.add(event.key)
                        await self._take(sessions.get(event.key), event)
                    case Prepared(environment):
                        self._environment, result.is_loaded = environment, True
                        await self._windows.prepared(environment)
                        if workload.limit_seconds is not None:
                            result.limit.reschedule(asyncio.get_running_loop().time() + workload.limit_seconds)
                    case Activity():
                        await self._progress.active(event)
                    case None:
                        await self._progress.report()

    async def _events(self, workload: Workload, result: _TurnResult) -> AsyncGenerator[GenerationEvent]:
        try:
            async with aclosing(self._backend.generate(workload)) as events:
                async for event in events:
                    yield event
        except ResourceExhausted as error:
            # Without the model nothing can be asked; with it, some of the cases ask for too much.
            if not result.is_loaded:
                raise
            raise BackendFaultError(str(error)) from error

    async def _take(self, session: CaseSession | None, answer: Answer) -> None:
        if session is None or session.is_over:
            return
        await asyncio.to_thread(session.take, answer)
        if session.is_over:
            await self._progress.session_over()
            if self._spec.throughput and sum(other.is_over for other in self._sessions) >= _COMMIT_SIZE:
                await self._commit()

    async def _retry_or_give_up(self, unanswered: list[CaseSession], result: _TurnResult) -> None:
        """Have the window run again, or look for the case that breaks the backend; what stays unanswered is a fault."""
        fault = result.fault or BackendFaultError("The backend ended without an answer.")
        self._num_tries += 1
        _log.warning("window_failed", attempt=self._num_tries, fault_words=str(fault))
        self._telemetry.window_failed()
        if self._num_tries < _MAX_TRIES and not result.is_late:
            await self._context.event("message", {"text": f"{fault} The window is run again."})
            # It is redone as a whole: what a turn is computed from is then the same as in a run without the fault.
            if not self._spec.throughput:
                for session in self._sessions:
                    await asyncio.to_thread(session.restart)
                await self._progress.restarted()
            return
        if self._windows.is_help:
            # That these cases, and not this machine, break a worker is for the process to find that holds the run.
            raise FailedPrecondition(f"{fault} The run is left to others.", "Look at this replica's memory and device.")
        if not result.is_loaded and (self._spec.endpoint is None or self._record.num_generated_tokens == 0):
            raise _cannot_begin(fault, self._spec)
        # A server that is away is away for each of its cases, and where time is over there is none to look for.
        if result.is_loaded and not result.is_late and self._spec.endpoint is None:
            await self._context.event("message", {"text": f"{fault} Its cases are asked apart from each other."})
            await self._ask_apart(unanswered, fault)
        else:
            await self._give_up(unanswered, fault)

    async def _ask_apart(self, sessions: list[CaseSession], fault: BackendFaultError) -> None:
        """Ask half after half of what broke the backend together; a case that breaks it alone is left out."""
        half = (len(sessions) + 1) // 2
        for part in filter(None, (sessions[:half], sessions[half:])):
            self._num_parts += 1
            is_allowed = self._num_parts <= _MAX_PARTS
            result = await self._ask(part) if is_allowed else _TurnResult(fault=fault)
            unanswered, reason = result.unanswered(part), result.fault or fault
            if unanswered and len(part) > 1 and is_allowed and not result.is_late:
                await self._ask_apart(unanswered, reason)
            elif unanswered:
                await self._give_up(unanswered, reason)

    async def _give_up(self, sessions: list[CaseSession], fault: BackendFaultError) -> None:
        names = sessions[0].key + f" and {len(sessions) - 1} more" * (len(sessions) > 1)
        await self._context.event("message", {"text": f"{fault} Left out as a fault of the backend: {names}."})
        for session in sessions:
            session.fail(str(fault))
            await self._progress.session_over()

    async def _commit(self) -> None:
        ended = [session for session in self._sessions if session.is_over]
        if not ended:
            return
        run_id, first = self._record.test_run_id, self._windows.first_sequence
        transcripts = [session.transcript(run_id, first + place) for place, session in enumerate(ended)]
        stored = self._record.environment
        environment = stored if stored != Environment() else self._environment
        await self._windows.append(environment, transcripts)
        self._sessions = [session for session in self._sessions if not session.is_over]
        self._num_tries = 0
        self._telemetry.transcripts_stored(
            [transcript for session, transcript in zip(ended, transcripts, strict=True) if session.kept is None]
        )
        await self._progress.window_stored(self._record.num_transcripts + self._record.num_ahead)
        await self._after_commit()


def _workload(spec: TestRunSpec, record: RunRecord, prompts: Sequence[Prompt]) -> Workload:
    # What generated the first window generates all: another number format, thread count or device could change answers.
    return Workload(
        **record.inputs.weights,
        prompts=tuple(prompts),
        sampling=spec.sampling,
        dtype=record.environment.dtype or spec.dtype,
        num_threads=record.environment.num_threads or record.inputs.num_threads,
        endpoint=spec.endpoint,
        log_probs=spec.log_probs,
        device=record.environment.device,
        test_run_id=record.test_run_id,
    )


def _cannot_begin(fault: BackendFaultError, spec: TestRunSpec) -> FailedPrecondition:
    if spec.endpoint is not None:
        return FailedPrecondition(
            f"The endpoint cannot be asked: {fault}", "Check that its server runs and that the base URL is right."
        )
    return FailedPrecondition(
        f"The model cannot be loaded: {fault}",
        "Check memory and the model's files; with TEST_RUNNER_LOG_FORMAT=console the log holds the worker's words.",
    )
