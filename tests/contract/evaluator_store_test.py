"""One suite over every store of evaluations."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from sqlalchemy import text

from services.chassis.database import Database
from services.chassis.errors import FailedPrecondition
from services.chassis.jobs import JobStore, MemoryJobStore, SqlJobStore
from services.chassis.migration import migrate
from services.evaluator.domain.evaluation import EvaluationRecord, Sampling, Subject
from services.evaluator.domain.verdict import Layer, Verdict, VerdictFilter
from services.evaluator.metrics import reduce_tallies
from services.evaluator.ports import EvaluationStore
from services.evaluator.store.sql import MIGRATIONS, SqlEvaluationStore
from services.protocols.verdict import LayerStatus
from tests.contract.postgres import require_postgres, run_postgres
from tests.fakes.evaluator_store import MemoryEvaluationStore

KINDS = ("memory", "sqlite", "postgresql")
EVERYTHING = VerdictFilter()
SUBJECT = Subject(
    test_run_id="run-1",
    model_version_id="tiny@1",
    test_suite_version_id="roo_xml/core@1",
    test_suite_digest="sha256:suite",
    profile_id="roo_xml",
    profile_digest="sha256:profile",
    prompt_size="compact",
    sampling=Sampling(temperature=0.5),
    num_repeats=2,
    seed=7,
    num_transcripts_total=4,
)


@dataclass
class Stores:
    jobs: JobStore
    evaluations: EvaluationStore

    async def running(self, evaluation_id: str, subject: Subject = SUBJECT) -> int:
        """Add an evaluation whose job is being worked on, and return the epoch."""
        await self.jobs.create("evaluation", evaluation_id, {}, job_id=evaluation_id)
        job = await self.jobs.claim(["evaluation"], "me", 60)
        assert job is not None and job.job_id == evaluation_id
        await self.evaluations.add_evaluation(EvaluationRecord(evaluation_id, subject, "sha256:judge"))
        return job.epoch


@pytest.fixture(scope="module")
def postgres_url() -> Iterator[str]:
    require_postgres()
    with run_postgres() as url:
        yield url


@pytest.fixture(params=KINDS)
async def stores(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stores]:
    if request.param == "memory":
        jobs = MemoryJobStore()
        yield Stores(jobs, MemoryEvaluationStore(jobs))
        return
    is_sqlite = request.param == "sqlite"
    url = f"sqlite+aiosqlite:///{tmp_path}/state.db" if is_sqlite else request.getfixturevalue("postgres_url")
    database = Database.open(url)
    await migrate(database, MIGRATIONS)
    yield Stores(SqlJobStore(database), SqlEvaluationStore(database))
    if not is_sqlite:
        async with database.session() as session:
            await session.execute(text("DROP SCHEMA public CASCADE"))
            await session.execute(text("CREATE SCHEMA public"))
    await database.close()


def verdict(sequence: int, *, case_id: str = "", cause: str = "", tool: str = "read_file") -> Verdict:
    return Verdict(
        sequence=sequence,
        transcript_id=f"run-1-{sequence}",
        case_id=case_id or f"case-{sequence}",
        repeat=0,
        tool=tool,
        category="read",
        conforming=not cause,
        accepted=cause in ("", "wrong_arguments"),
        well_formed=cause in ("", "wrong_arguments"),
        cause=cause,
        sentence="“So” it is.",
        layers=(Layer("parses", LayerStatus.FAILED, "no", (3, 9)), Layer("effect", LayerStatus.NOT_APPLICABLE)),
    )


async def test_an_evaluation_comes_back_as_it_was_stored(stores: Stores) -> None:
    await stores.running("eval-1")
    found = await stores.evaluations.get_evaluation("eval-1")
    assert found == EvaluationRecord("eval-1", SUBJECT, "sha256:judge", num_verdicts=0, ordinal=1)
    assert await stores.evaluations.get_evaluation("eval-2") is None


async def test_an_evaluation_is_stored_once(stores: Stores) -> None:
    await stores.running("eval-1")
    again = EvaluationRecord("eval-1", replace(SUBJECT, seed=8), "sha256:other")
    assert (await stores.evaluations.add_evaluation(again)).subject.seed == 7


async def test_evaluations_are_listed_newest_first_and_by_run(stores: Stores) -> None:
    for name, run in (("eval-1", "run-1"), ("eval-2", "run-2"), ("eval-3", "run-1")):
        await stores.running(name, replace(SUBJECT, test_run_id=run))

    async def names(run: str, before: int | None, limit: int) -> list[str]:
        return [item.evaluation_id for item in await stores.evaluations.list_evaluations(run, before, limit)]

    assert await names("", None, 2) == ["eval-3", "eval-2"]
    newest = await stores.evaluations.get_evaluation("eval-3")
    assert newest is not None
    assert await names("run-1", None, 10) == ["eval-3", "eval-1"]
    assert await names("run-1", newest.ordinal, 10) == ["eval-1"]


async def test_verdicts_come_back_in_the_order_of_judging(stores: Stores) -> None:
    epoch = await stores.running("eval-1")
    await stores.evaluations.append_verdicts("eval-1", epoch, [verdict(1), verdict(2, cause="no_call")])
    record = await stores.evaluations.append_verdicts("eval-1", epoch, [verdict(3)])
    assert record.num_verdicts == 3
    found = await stores.evaluations.list_verdicts("eval-1", EVERYTHING, after_sequence=0, limit=2)
    assert found == (verdict(1), verdict(2, cause="no_call"))
    rest = await stores.evaluations.list_verdicts("eval-1", EVERYTHING, after_sequence=2, limit=2)
    assert [item.sequence for item in rest] == [3]


async def test_verdicts_are_filtered_by_tool_and_by_cause(stores: Stores) -> None:
    epoch = await stores.running("eval-1")
    judged = [
        verdict(1),
        verdict(2, cause="no_call"),
        verdict(3, cause="no_call", tool="list_files"),
        verdict(4, tool="list_files"),
    ]
    await stores.evaluations.append_verdicts("eval-1", epoch, judged)

    async def sequences(wanted: VerdictFilter) -> list[int]:
        found = await stores.evaluations.list_verdicts("eval-1", wanted, after_sequence=0, limit=10)
        return [item.sequence for item in found]

    assert await sequences(VerdictFilter(tool="list_files")) == [3, 4]
    assert await sequences(VerdictFilter(cause="no_call")) == [2, 3]
    assert await sequences(VerdictFilter(cause="none")) == [1, 4]
    assert await sequences(VerdictFilter(tool="list_files", cause="none")) == [4]


async def test_verdicts_that_were_stored_already_are_refused(stores: Stores) -> None:
    epoch = await stores.running("eval-1")
    await stores.evaluations.append_verdicts("eval-1", epoch, [verdict(1)])
    with pytest.raises(FailedPrecondition):
        await stores.evaluations.append_verdicts("eval-1", epoch, [verdict(1)])
    found = await stores.evaluations.get_evaluation("eval-1")
    assert found is not None and found.num_verdicts == 1


async def test_verdicts_of_an_owner_that_was_replaced_are_refused(stores: Stores) -> None:
    epoch = await stores.running("eval-1")
    await stores.jobs.release("eval-1", epoch)
    assert await stores.jobs.claim(["evaluation"], "another", 60) is not None
    with pytest.raises(FailedPrecondition):
        await stores.evaluations.append_verdicts("eval-1", epoch, [verdict(1)])
    assert await stores.evaluations.list_verdicts("eval-1", EVERYTHING, after_sequence=0, limit=9) == ()


async def test_tallies_count_every_verdict_once(stores: Stores) -> None:
    epoch = await stores.running("eval-1")
    judged = [verdict(1), verdict(2), verdict(3, cause="wrong_arguments"), verdict(4, cause="no_call", tool="new_task")]
    await stores.evaluations.append_verdicts("eval-1", epoch, judged)
    await stores.running("eval-2")
    tallies = await stores.evaluations.tallies(["eval-1", "eval-2"])
    assert not tallies.get("eval-2")
    metrics = reduce_tallies(tallies["eval-1"])
    assert (metrics.overall.num_cases, metrics.overall.conforming_rate, metrics.overall.accepted_rate) == (4, 0.5, 0.75)
    assert metrics.by_cause == {"no_call": 1, "wrong_arguments": 1}


async def test_a_case_conforms_only_when_all_its_repeats_do(stores: Stores) -> None:
    epoch = await stores.running("eval-1")
    judged = [
        verdict(1, case_id="a"),
        verdict(2, case_id="b"),
        verdict(3, case_id="a", cause="no_call"),
        verdict(4, case_id="b"),
    ]
    await stores.evaluations.append_verdicts("eval-1", epoch, judged)
    assert await stores.evaluations.outcomes("eval-1") == {"a": False, "b": True}
