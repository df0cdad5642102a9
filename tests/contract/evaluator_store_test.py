"""One suite over every store of evaluations."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest

from services.chassis.errors import FailedPrecondition
from services.chassis.jobs import JobStore, SqlJobStore
from services.chassis.wire import from_document
from services.evaluator.domain.evaluation import EvaluationRecord, ModelGrader
from services.evaluator.domain.metrics import Interval, Metrics, Quantiles, RepeatRate
from services.evaluator.domain.parity import Outcome, OutcomePair
from services.evaluator.domain.run import Endpoint, Sampling, Subject
from services.evaluator.domain.tallies import CaseTally, Failing, Totals
from services.evaluator.domain.verdict import Layer, Spent, Verdict, VerdictFilter
from services.evaluator.ports import EvaluationStore
from services.evaluator.store.sql import MIGRATIONS, SqlEvaluationStore
from services.protocols.verdict import LayerStatus
from tests.contract.conftest import OpenDatabase

KINDS = ("sqlite", "postgresql")
EVERYTHING = VerdictFilter()
SUBJECT = Subject(
    test_run_id="run-1",
    model_version_id="tiny@1",
    test_suite_version_id="roo_xml/core@1",
    test_suite_digest="sha256:suite",
    profile_id="roo_xml",
    profile_digest="sha256:profile",
    prompt_size="compact",
    sampling=from_document(Sampling, {"temperature": 0.5}),
    num_repeats=2,
    seed=7,
    num_transcripts_total=4,
    endpoint=Endpoint("http://127.0.0.1:1/v1", "m", stop=("</x>",)),
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


@pytest.fixture(params=KINDS)
async def stores(request: pytest.FixtureRequest, open_database: OpenDatabase) -> AsyncIterator[Stores]:
    database = await open_database(request.param, MIGRATIONS)
    yield Stores(SqlJobStore(database), SqlEvaluationStore(database))


def verdict(
    sequence: int,
    *,
    case_id: str = "",
    cause: str = "",
    tool: str = "read_file",
    category: str = "read",
    repeat: int = 0,
) -> Verdict:
    failed = Layer("parses", LayerStatus.FAILED, "no", (3, 9), 0.25)
    return Verdict(
        sequence=sequence,
        transcript_id=f"run-1-{sequence}",
        case_id=case_id or f"case-{sequence}",
        repeat=repeat,
        tool=tool,
        category=category,
        conforming=not cause,
        accepted=cause in ("", "wrong_arguments"),
        well_formed=cause in ("", "wrong_arguments"),
        cause=cause,
        sentence="“So” it is.",
        layers=(failed if cause else Layer("parses", LayerStatus.PASSED), Layer("effect", LayerStatus.NOT_APPLICABLE)),
        fault="text_after" if cause else "",
        is_sole=bool(cause),
        num_turns=1,
        had_client_error=cause == "unclosed",
        scores={"format": 0.5},
        style_notes=("Tabs.",),
        spent=Spent(100 + sequence, 2, 3, sequence / 4, 0.125),
    )


async def append(stores: Stores, evaluation_id: str, epoch: int, verdicts: list[Verdict]) -> EvaluationRecord:
    record = await stores.evaluations.get_evaluation(evaluation_id)
    assert record is not None and record.totals is not None
    record.totals.add(verdicts)
    return await stores.evaluations.append_verdicts(evaluation_id, epoch, verdicts, record.totals)


async def test_an_evaluation_comes_back_as_it_was_stored(stores: Stores) -> None:
    await stores.running("eval-1")
    found = await stores.evaluations.get_evaluation("eval-1")
    assert found == EvaluationRecord("eval-1", SUBJECT, "sha256:judge", num_verdicts=0, ordinal=1, totals=Totals())
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
    await append(stores, "eval-1", epoch, [verdict(1), verdict(2, cause="no_call")])
    record = await append(stores, "eval-1", epoch, [verdict(3)])
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
    await append(stores, "eval-1", epoch, judged)

    async def sequences(wanted: VerdictFilter) -> list[int]:
        found = await stores.evaluations.list_verdicts("eval-1", wanted, after_sequence=0, limit=10)
        return [item.sequence for item in found]

    assert await sequences(VerdictFilter(tool="list_files")) == [3, 4]
    assert await sequences(VerdictFilter(cause="no_call")) == [2, 3]
    assert await sequences(VerdictFilter(cause="none")) == [1, 4]
    assert await sequences(VerdictFilter(tool="list_files", cause="none")) == [4]


async def test_verdicts_are_stored_once_also_when_the_answer_was_lost_and_refused_where_they_leave_a_gap(
    stores: Stores,
) -> None:
    epoch = await stores.running("eval-1")
    for _ in range(2):
        await append(stores, "eval-1", epoch, [verdict(1)])
    for others in ([verdict(1), verdict(2)], [verdict(3)]):
        with pytest.raises(FailedPrecondition):
            await append(stores, "eval-1", epoch, others)
    found = await stores.evaluations.get_evaluation("eval-1")
    assert found is not None and found.num_verdicts == 1


async def test_verdicts_of_an_owner_that_was_replaced_are_refused(stores: Stores) -> None:
    epoch = await stores.running("eval-1")
    await stores.jobs.release("eval-1", epoch)
    assert await stores.jobs.claim(["evaluation"], "another", 60) is not None
    with pytest.raises(FailedPrecondition):
        await append(stores, "eval-1", epoch, [verdict(1)])
    assert await stores.evaluations.list_verdicts("eval-1", EVERYTHING, after_sequence=0, limit=9) == ()


async def test_verdicts_are_filtered_by_kind_layer_and_case_and_counted(stores: Stores) -> None:
    epoch = await stores.running("eval-1")
    judged = [
        verdict(1, category="recovery.no_tool"),
        verdict(2, category="recovery", cause="no_call"),
        verdict(3, category="recovery_of_files", case_id="odd"),
    ]
    await append(stores, "eval-1", epoch, judged)
    for wanted, expected in (
        (VerdictFilter(category="recovery"), [1, 2]),
        (VerdictFilter(category="recovery.no_tool"), [1]),
        (VerdictFilter(layer="parses"), [2]),
        (VerdictFilter(case_id="odd"), [3]),
        (VerdictFilter(category="recovery", cause="none"), [1]),
        (VerdictFilter(category="%"), []),
    ):
        found = await stores.evaluations.list_verdicts("eval-1", wanted, after_sequence=0, limit=10)
        assert [item.sequence for item in found] == expected
        assert await stores.evaluations.count_verdicts("eval-1", wanted) == len(expected)


async def test_totals_and_a_grader_come_back_as_they_were_stored(stores: Stores) -> None:
    epoch = await stores.running("eval-1")
    record = await append(stores, "eval-1", epoch, [verdict(1), verdict(2, cause="no_call")])
    assert record.totals is not None
    assert (record.totals.count, record.totals.causes, record.totals.layers["parses"].score) == (
        2,
        {"no_call": 1},
        0.25,
    )
    assert record.totals.scores["format"].sum == 1.0
    await stores.jobs.create("evaluation", "eval-2", {}, job_id="eval-2")
    grader = ModelGrader("http://127.0.0.1:1/v1", "m", "key", "Be good.", 0.5, against_reference=True)
    await stores.evaluations.add_evaluation(EvaluationRecord("eval-2", SUBJECT, "sha256:judge", grader=grader))
    found = await stores.evaluations.get_evaluation("eval-2")
    assert found is not None and found.grader == grader


async def test_scores_are_added_to_verdicts_that_are_stored(stores: Stores) -> None:
    epoch = await stores.running("eval-1")
    record = await append(stores, "eval-1", epoch, [verdict(1), verdict(2)])
    assert record.totals is not None
    record.totals.add_score("model_graded", 0.75)
    record = await stores.evaluations.add_scores(
        "eval-1", epoch, {2: {"model_graded": 0.75}}, through=2, totals=record.totals
    )
    assert record.num_graded == 2
    assert record.totals is not None and record.totals.scores["model_graded"].count == 1
    found = await stores.evaluations.list_verdicts("eval-1", EVERYTHING, after_sequence=0, limit=9)
    assert [item.scores for item in found] == [{"format": 0.5}, {"format": 0.5, "model_graded": 0.75}]
    with pytest.raises(FailedPrecondition):
        await stores.evaluations.add_scores("eval-1", epoch + 1, {}, through=2, totals=Totals())


async def test_final_metrics_come_back_as_they_were_stored(stores: Stores) -> None:
    epoch = await stores.running("eval-1")
    metrics = Metrics(
        by_cause={"no_call": 2}, by_repeats=(RepeatRate(1, 0.5, 0.5, Interval(0.25, 0.75)),), advice=("Do this.",)
    )
    await stores.evaluations.finish("eval-1", epoch, metrics)
    [found] = await stores.evaluations.list_evaluations("", None, 9)
    assert found.metrics == metrics


async def test_case_tallies_count_every_verdict_once(stores: Stores) -> None:
    epoch = await stores.running("eval-1")
    judged = [
        verdict(1, case_id="b", category="recovery.x"),
        verdict(2, case_id="a", tool="new_task"),
        verdict(3, case_id="b", category="recovery.x", cause="wrong_arguments", repeat=1),
        verdict(4, case_id="a", tool="new_task", cause="unclosed", repeat=1),
    ]
    await append(stores, "eval-1", epoch, judged)
    await stores.running("eval-2")
    assert await stores.evaluations.case_tallies("eval-2") == ()
    assert await stores.evaluations.case_tallies("eval-1") == (
        CaseTally("a", "new_task", "read", 2, 1, 1, 1, num_recovering=1, num_recovered=0),
        CaseTally("b", "read_file", "recovery.x", 2, 1, 2, 2, num_recovering=2, num_recovered=1),
    )


async def test_cases_without_an_answer_are_told_apart_and_pair_with_none(stores: Stores) -> None:
    epoch = await stores.running("eval-1")
    missing = replace(verdict(2, case_id="a", cause="backend_fault", repeat=1), category="recovery")
    await append(stores, "eval-1", epoch, [replace(verdict(1, case_id="a"), category="recovery"), missing])
    epoch = await stores.running("eval-2")
    others = [verdict(1, case_id="a", cause="backend_fault"), verdict(2, case_id="a", repeat=1)]
    await append(stores, "eval-2", epoch, others)
    [tally] = await stores.evaluations.case_tallies("eval-1")
    assert (tally.count, tally.num_unanswered, tally.num_recovering, tally.num_recovered) == (1, 1, 1, 1)
    [tally] = await stores.evaluations.case_tallies("eval-1", answered_in="eval-2")
    assert (tally.count, tally.num_unanswered) == (0, 1)
    assert await stores.evaluations.outcome_pairs("eval-1", "eval-2") == ()
    assert (await stores.evaluations.latency_quantiles("eval-1")).p99 == verdict(1).spent.latency_seconds


async def test_figures_can_stop_at_a_verdict(stores: Stores) -> None:
    epoch = await stores.running("eval-1")
    await append(stores, "eval-1", epoch, [verdict(place, cause="unclosed") for place in range(1, 11)])
    assert [one.count for one in await stores.evaluations.case_tallies("eval-1", 4)] == [1] * 4
    assert len(await stores.evaluations.failing("eval-1", 4)) == 4
    assert await stores.evaluations.latency_quantiles("eval-1", 4) == Quantiles(0.5, 1.0, 1.0)


async def test_quantiles_of_the_time_are_those_of_the_answers_that_have_one(stores: Stores) -> None:
    epoch = await stores.running("eval-1")
    assert await stores.evaluations.latency_quantiles("eval-1") == Quantiles()
    unknown = replace(verdict(101), spent=Spent())
    await append(stores, "eval-1", epoch, [*(verdict(place) for place in range(1, 101)), unknown])
    assert await stores.evaluations.latency_quantiles("eval-1") == Quantiles(12.5, 23.75, 24.75)


async def test_failing_verdicts_are_listed_in_the_order_of_judging(stores: Stores) -> None:
    epoch = await stores.running("eval-1")
    await append(stores, "eval-1", epoch, [verdict(1, cause="unclosed"), verdict(2), verdict(3, cause="no_call")])
    found = await stores.evaluations.failing("eval-1")
    assert [one.cause for one in found] == ["unclosed", "no_call"]
    assert found[0] == Failing(
        "case-1", "read_file", "read", "parses", "text_after", "unclosed", "“So” it is.", is_sole=True
    )


async def test_outcomes_of_two_evaluations_are_paired_by_case_and_repeat(stores: Stores) -> None:
    first = await stores.running("eval-1")
    await append(stores, "eval-1", first, [verdict(1, case_id="b"), verdict(2, case_id="a", cause="unclosed")])
    second = await stores.running("eval-2")
    longer = replace(verdict(3, case_id="b"), num_turns=2)
    others = [verdict(1, case_id="a"), verdict(2, case_id="c"), longer, verdict(4, case_id="a", repeat=1)]
    await append(stores, "eval-2", second, others)
    well, broken = Outcome(True, True, True, "", ""), Outcome(False, False, False, "unclosed", "parses")
    assert await stores.evaluations.outcome_pairs("eval-1", "eval-2") == (
        OutcomePair("a", 0, broken, well, (102, 101)),
        OutcomePair("b", 0, well, well, None),
    )
