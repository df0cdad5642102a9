"""Random sequences of submit, claim, crash, pause, resume, cancel, report and finish, against the promises of jobs."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from services.chassis.application import JOB_MIGRATIONS
from services.chassis.database import Database
from services.chassis.database.migration import migrate
from services.chassis.errors import FailedPrecondition
from services.chassis.jobs import Job, JobError, JobState, JobStore, SqlJobStore
from tests.unit.chassis.jobs.memory_store import MemoryJobStore

T = TypeVar("T")
LEASE = 30.0
FINAL = ("CANCELLED", "FAILED", "SUCCEEDED")
# Written out by hand, so that a change of the code's own table does not change what is checked.
LEGAL = {
    ("", "QUEUED"),
    ("QUEUED", "RUNNING"),
    ("QUEUED", "PAUSED"),
    ("QUEUED", "CANCELLED"),
    ("RUNNING", "PAUSING"),
    ("RUNNING", "CANCELLING"),
    ("RUNNING", "FAILED"),
    ("RUNNING", "SUCCEEDED"),
    ("PAUSING", "PAUSED"),
    ("PAUSING", "RUNNING"),
    ("PAUSING", "CANCELLING"),
    ("PAUSING", "FAILED"),
    ("PAUSING", "SUCCEEDED"),
    ("PAUSED", "QUEUED"),
    ("PAUSED", "CANCELLED"),
    ("CANCELLING", "CANCELLED"),
    ("CANCELLING", "FAILED"),
}


class JobMachine(RuleBasedStateMachine):
    """Holds every claim ever made, those of dead owners too, and lets them go on writing."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.Runner()
        self.clock = 0.0
        self.store = self.make_store()
        self.jobs: list[str] = []
        self.holds: list[Job] = []
        self.ended: dict[str, Job] = {}

    def make_store(self) -> JobStore:
        return MemoryJobStore(lambda: self.clock)

    def teardown(self) -> None:
        self.loop.close()

    def do(self, call: Awaitable[T]) -> T | None:
        async def run() -> T | None:
            try:
                return await call
            except FailedPrecondition:
                return None

        return self.loop.run(run())

    def sure(self, call: Awaitable[T]) -> T:
        answer = self.do(call)
        assert answer is not None
        return answer

    @rule(request=st.integers(0, 4))
    def submit(self, request: int) -> None:
        job = self.sure(self.store.create("drill", f"r{request}", {"request": request}))
        if job.job_id not in self.jobs:
            self.jobs.append(job.job_id)
        assert len(self.jobs) == len({*self.jobs})

    @rule(owner=st.sampled_from(["a", "b"]))
    def claim(self, owner: str) -> None:
        job = self.do(self.store.claim(["drill"], owner, LEASE))
        if job is not None:
            assert all(held.epoch < job.epoch for held in self.holds if held.job_id == job.job_id)
            self.holds.append(job)

    @rule(seconds=st.sampled_from([1.0, LEASE + 1]))
    def crash_or_sleep(self, seconds: float) -> None:
        self.clock += seconds

    @precondition(lambda self: self.jobs)
    @rule(data=st.data(), what=st.sampled_from(["request_cancel", "request_pause", "resume"]))
    def ask(self, data: st.DataObject, what: str) -> None:
        self.do(getattr(self.store, what)(data.draw(st.sampled_from(self.jobs))))

    @precondition(lambda self: self.holds)
    @rule(data=st.data(), what=st.sampled_from(["renew", "event", "progress", "save", "release", "decline"]))
    def write(self, data: st.DataObject, what: str) -> None:
        held = data.draw(st.sampled_from(self.holds))
        now = self.sure(self.store.get(held.job_id))
        key = (held.job_id, held.epoch)
        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "renew": lambda: self.store.renew(*key, LEASE),
            "event": lambda: self.store.append_event(*key, "unit", {"n": 1}),
            "progress": lambda: self.store.set_progress(*key, {"done": 1}),
            "save": lambda: self.store.save_checkpoint(*key, {"unit": held.epoch}),
            "release": lambda: self.store.release(*key),
            "decline": lambda: self.store.decline_pause(*key, "not now"),
        }
        self.do(calls[what]())
        if now.epoch != held.epoch or now.state not in (JobState.RUNNING, JobState.PAUSING, JobState.CANCELLING):
            assert self.sure(self.store.get(held.job_id)) == now

    @precondition(lambda self: self.holds)
    @rule(data=st.data(), state=st.sampled_from([JobState.SUCCEEDED, JobState.FAILED, JobState.PAUSED]))
    def finish(self, data: st.DataObject, state: JobState) -> None:
        held = data.draw(st.sampled_from(self.holds))
        before = self.sure(self.store.get(held.job_id))
        error = JobError("INTERNAL", "It broke.") if state is JobState.FAILED else None
        ended = self.do(self.store.finish(held.job_id, held.epoch, state, error=error))
        if before.epoch != held.epoch:
            assert ended is None
        elif before.state is JobState.CANCELLING:
            assert ended is not None
            assert ended.state in (JobState.CANCELLED, JobState.FAILED)

    @invariant()
    def every_history_is_legal_and_complete(self) -> None:
        for job_id in self.jobs:
            job, events = self.sure(self.store.get(job_id)), self.sure(self.store.events(job_id))
            assert [event.sequence for event in events] == list(range(1, job.last_sequence + 1))
            states = [event.payload["state"] for event in events if event.type == "state"]
            assert set(zip(["", *states], states, strict=False)) <= LEGAL
            assert states[-1] == job.state
            epochs = [event.payload["epoch"] for event in events if "epoch" in event.payload]
            assert epochs == list(range(1, job.epoch + 1))
            assert (job.owner is None) == (job.state not in ("RUNNING", "PAUSING", "CANCELLING"))

    @invariant()
    def final_jobs_never_change(self) -> None:
        for job_id in self.jobs:
            job = self.sure(self.store.get(job_id))
            if job.state in FINAL:
                assert self.ended.setdefault(job_id, job) == job


class SqliteJobMachine(JobMachine):
    def make_store(self) -> JobStore:
        self.folder = tempfile.TemporaryDirectory()
        self.database = Database.open(f"sqlite+aiosqlite:///{Path(self.folder.name)}/state.db")
        self.loop.run(migrate(self.database, JOB_MIGRATIONS))
        return SqlJobStore(self.database, lambda: self.clock)

    def teardown(self) -> None:
        self.loop.run(self.database.close())
        super().teardown()
        self.folder.cleanup()


test_any_sequence_keeps_the_promises_in_memory = JobMachine.TestCase
test_any_sequence_keeps_the_promises_in_memory.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None
)
test_any_sequence_keeps_the_promises_in_sqlite = SqliteJobMachine.TestCase
test_any_sequence_keeps_the_promises_in_sqlite.settings = settings(
    max_examples=8, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


def test_the_machine_would_notice_an_illegal_move() -> None:
    machine = JobMachine()
    machine.submit(0)
    ledger = machine.store._ledger  # type: ignore[attr-defined]
    job = ledger._jobs[machine.jobs[0]]
    ledger._jobs[machine.jobs[0]] = replace(job, state=JobState.SUCCEEDED)
    try:
        machine.every_history_is_legal_and_complete()
    except AssertionError:
        noticed = True
    else:
        noticed = False
    machine.teardown()
    assert noticed
