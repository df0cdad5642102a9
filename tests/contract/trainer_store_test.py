"""One suite over every store of training jobs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from services.chassis.database.lease import HeldLease, boot_seconds
from services.chassis.errors import DatabaseAway, FailedPrecondition
from services.chassis.jobs import JobStore, SqlJobStore
from services.trainer.domain.attempt import AttemptOutcome, AttemptReport, Checkpoint, CurvePoint
from services.trainer.domain.inputs import Artifact, TrainingInputs
from services.trainer.store.sql import MIGRATIONS, SqlTrainingStore
from tests.contract.conftest import OpenDatabase

KINDS = ("sqlite", "postgresql")
NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
INPUTS = TrainingInputs(
    model_version_id="tiny@2",
    base_model_version_id="tiny@1",
    output_model_id="tiny",
    base=Artifact("file:///base", "sha256:base", 3),
    adapter=Artifact("file:///adapter", "sha256:adapter", 2),
    dataset_version_id="drills@1",
    dataset=Artifact("file:///drills", "sha256:drills", 1),
)


def checkpoint(step: int, attempt: int = 1) -> Checkpoint:
    return Checkpoint(step, attempt, f"file:///checkpoint/{step}", f"sha256:{step}", 10 * step, NOW)


def point(step: int, metric: str = "loss", value: float = 0.5, attempt: int = 1) -> CurvePoint:
    return CurvePoint(metric, step, value, attempt)


@dataclass
class Stores:
    jobs: JobStore
    training: SqlTrainingStore

    async def begin(self, job_id: str) -> int:
        """Add a job with its first attempt, and return its epoch."""
        await self.jobs.create("training_job", job_id, {}, job_id=job_id)
        job = await self.jobs.claim(["training_job"], "me", 60)
        assert job is not None and job.job_id == job_id
        await self.training.begin_attempt(job_id, job.epoch, checkpoint=None)
        return job.epoch

    async def take_over(self, job_id: str, epoch: int) -> int:
        await self.jobs.release(job_id, epoch)
        job = await self.jobs.claim(["training_job"], "you", 60)
        assert job is not None and job.epoch > epoch
        return job.epoch


@pytest.fixture(params=KINDS)
async def stores(request: pytest.FixtureRequest, open_database: OpenDatabase) -> AsyncIterator[Stores]:
    database = await open_database(request.param, MIGRATIONS)
    yield Stores(SqlJobStore(database), SqlTrainingStore(database))


async def test_the_inputs_that_were_stored_first_stay(stores: Stores) -> None:
    await stores.begin("a")
    other = TrainingInputs(**{**INPUTS.__dict__, "model_version_id": "tiny@9", "adapter": None})
    assert await stores.training.add_inputs("a", INPUTS) == INPUTS
    assert await stores.training.add_inputs("a", other) == INPUTS
    assert dict(await stores.training.get_inputs(["a", "unknown"])) == {"a": INPUTS}


async def test_attempts_count_up_and_the_open_one_is_lost_when_the_next_begins(stores: Stores) -> None:
    epoch = await stores.begin("a")
    second = await stores.training.begin_attempt("a", epoch, checkpoint=checkpoint(20))
    assert (second.attempt, second.start_step, second.outcome) == (2, 20, None)
    listed = await stores.training.list_attempts(["a", "unknown"])
    assert [item.outcome for item in listed["a"]] == [AttemptOutcome.LOST, None]
    assert listed["a"][0].reason and listed["unknown"] == ()


async def test_an_attempt_whose_stored_answer_was_lost_is_there_once(
    open_database: OpenDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = await open_database("sqlite", MIGRATIONS)
    stores = Stores(SqlJobStore(database), SqlTrainingStore(database))
    epoch = await stores.begin("a")
    session, losses = database.session, [DatabaseAway("The database does not answer.")]

    @asynccontextmanager
    async def lossy() -> AsyncIterator[AsyncSession]:
        async with session() as opened:
            yield opened
        if losses:
            raise losses.pop()

    monkeypatch.setattr(database, "session", lossy)
    HeldLease(30.0, since=boot_seconds()).bind()
    assert (await stores.training.begin_attempt("a", epoch, checkpoint=None)).attempt == 2
    attempts = (await stores.training.list_attempts(["a"]))["a"]
    assert [attempt.outcome for attempt in attempts] == [AttemptOutcome.LOST, None]


async def test_the_first_outcome_of_an_attempt_stays(stores: Stores) -> None:
    epoch = await stores.begin("a")
    first = {"outcome": AttemptOutcome.FAILED, "reason": "Too long.", "is_permanent": True}
    later = {"outcome": AttemptOutcome.LOST, "reason": "Gone.", "is_permanent": False}
    await stores.training.end_attempt("a", 1, epoch, **first)  # type: ignore[arg-type]
    ended = await stores.training.end_attempt("a", 1, epoch, **later)  # type: ignore[arg-type]
    assert (ended.outcome, ended.reason, ended.is_permanent) == (AttemptOutcome.FAILED, "Too long.", True)


async def test_a_repeated_report_brings_nothing_new(stores: Stores) -> None:
    epoch = await stores.begin("a")
    report = AttemptReport("a", 1, epoch, curve_points=(point(1), point(1, "rate")), checkpoints=(checkpoint(1),))
    first = await stores.training.add_report(report, save_total_limit=2)
    again = await stores.training.add_report(report, save_total_limit=2)
    assert (first.curve_points, first.checkpoints) == (report.curve_points, report.checkpoints)
    assert (again.curve_points, again.checkpoints) == ((), ())


async def test_only_the_newest_checkpoints_stay(stores: Stores) -> None:
    epoch = await stores.begin("a")
    for step in (10, 20, 30):
        report = AttemptReport("a", 1, epoch, checkpoints=(checkpoint(step),))
        await stores.training.add_report(report, save_total_limit=2)
    assert await stores.training.list_checkpoints("a") == (checkpoint(30), checkpoint(20))


async def test_a_report_with_an_outcome_ends_the_attempt(stores: Stores) -> None:
    epoch = await stores.begin("a")
    end = AttemptReport("a", 1, epoch, outcome=AttemptOutcome.SUCCEEDED)
    await stores.training.add_report(end, save_total_limit=2)
    assert (await stores.training.list_attempts(["a"]))["a"][0].outcome is AttemptOutcome.SUCCEEDED
    with pytest.raises(FailedPrecondition):
        await stores.training.add_report(AttemptReport("a", 1, epoch), save_total_limit=2)


@pytest.mark.parametrize(("attempt", "older"), [(1, True), (2, False)])
async def test_reports_of_another_epoch_or_attempt_are_refused(stores: Stores, attempt: int, older: bool) -> None:
    epoch = await stores.begin("a")
    if older:
        await stores.take_over("a", epoch)
    stale = AttemptReport("a", attempt, epoch, curve_points=(point(1),))
    with pytest.raises(FailedPrecondition):
        await stores.training.add_report(stale, save_total_limit=2)
    assert await stores.training.list_curve_points("a", "", after=(0, ""), limit=9) == ()


async def test_an_older_epoch_neither_begins_nor_ends_attempts(stores: Stores) -> None:
    epoch = await stores.begin("a")
    await stores.take_over("a", epoch)
    with pytest.raises(FailedPrecondition):
        await stores.training.begin_attempt("a", epoch, checkpoint=None)
    with pytest.raises(FailedPrecondition):
        await stores.training.end_attempt(
            "a", 1, epoch, outcome=AttemptOutcome.FAILED, reason="Late.", is_permanent=False
        )


async def test_what_lies_beyond_the_start_of_a_new_attempt_is_forgotten(stores: Stores) -> None:
    epoch = await stores.begin("a")
    points = tuple(point(step) for step in (9, 10, 11))
    report = AttemptReport("a", 1, epoch, curve_points=points, checkpoints=(checkpoint(10), checkpoint(11)))
    await stores.training.add_report(report, save_total_limit=5)
    await stores.training.begin_attempt("a", epoch, checkpoint=checkpoint(10))
    assert await stores.training.list_checkpoints("a") == (checkpoint(10),)
    assert await stores.training.list_curve_points("a", "", after=(0, ""), limit=9) == points[:2]


async def test_a_checkpoint_that_no_report_named_is_known_once_an_attempt_goes_on_from_it(stores: Stores) -> None:
    epoch = await stores.begin("a")
    await stores.training.begin_attempt("a", epoch, checkpoint=checkpoint(10))
    assert await stores.training.list_checkpoints("a") == (checkpoint(10),)


async def test_curve_points_come_by_step_then_metric_in_pages(stores: Stores) -> None:
    epoch = await stores.begin("a")
    points = (point(2, "rate", 1e-3), point(2), point(1, "rate", 1e-4), point(1, value=2.25))
    await stores.training.add_report(AttemptReport("a", 1, epoch, curve_points=points), save_total_limit=1)
    await stores.begin("b")
    listed = await stores.training.list_curve_points("a", "", after=(0, ""), limit=3)
    assert listed == (point(1, value=2.25), point(1, "rate", 1e-4), point(2))
    assert await stores.training.list_curve_points("a", "", after=(2, "loss"), limit=3) == (point(2, "rate", 1e-3),)
    assert await stores.training.list_curve_points("a", "rate", after=(1, "rate"), limit=9) == (points[0],)


async def test_a_report_and_its_events_are_stored_together_and_a_repeat_of_the_last_one_is_no_stranger(
    stores: Stores,
) -> None:
    epoch = await stores.begin("a")
    report = AttemptReport(
        "a", 1, epoch, curve_points=(point(10),), checkpoints=(checkpoint(10),), outcome=AttemptOutcome.SUCCEEDED
    )
    news = await stores.training.add_report(report, save_total_limit=2)
    assert (len(news.curve_points), len(news.checkpoints)) == (1, 1)
    again = await stores.training.add_report(report, save_total_limit=2)
    assert (again.curve_points, again.checkpoints) == ((), ())
    events = [event for event in await stores.jobs.events("a", limit=100) if event.type in ("point", "checkpoint")]
    assert [event.type for event in events] == ["point", "checkpoint"]
    assert events[0].payload == {"metric": "loss", "step": 10, "value": 0.5, "attempt": 1}
    assert set(events[1].payload) == {"step", "uri", "digest", "size_bytes", "attempt"}
    assert (await stores.jobs.append_event("a", epoch, "unit", {})).sequence == events[1].sequence + 1
    with pytest.raises(FailedPrecondition):
        await stores.training.add_report(AttemptReport("a", 1, epoch), save_total_limit=2)
