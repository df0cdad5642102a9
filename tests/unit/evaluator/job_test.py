"""The job of an evaluation: following, restarting, and runs that end badly."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from services.chassis.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from services.chassis.jobs import JobState
from services.evaluator.domain.verdict import VerdictFilter
from services.evaluator.jobs import evaluation
from services.evaluator.ports import AnswerEnd
from tests.unit.evaluator.bench import CASES, Bench, FakeSuites, subject
from tests.unit.outages import break_often


async def test_every_transcript_of_a_finished_run_gets_one_verdict() -> None:
    bench = Bench()
    evaluation_id = await bench.evaluated(subject(), wrong=(2, 5))
    found = await bench.evaluations.resource.get(evaluation_id)
    assert found.job.state is JobState.SUCCEEDED
    assert found.metrics.overall.num_cases == 13
    assert found.metrics.overall.conforming_rate == pytest.approx(11 / 13)
    assert found.metrics.by_cause == {"no_call": 2}
    assert found.metrics.by_tool[CASES[1].tool].conforming_rate == 0
    verdicts, token, total = await bench.verdicts.list_verdicts(
        evaluation_id, VerdictFilter(), page_size=0, page_token=""
    )
    assert [item.case_id for item in verdicts] == [case.case_id for case in CASES]
    assert (token, total) == ("", 13)


async def test_a_run_that_is_still_going_is_followed_to_its_end() -> None:
    bench = Bench()
    bench.runs.add(subject())
    bench.runs.answer("run-1", 4)
    created = await bench.evaluations.create("r", "run-1")
    working = asyncio.create_task(bench.work(created.job.job_id))
    await bench.runs.followed.wait()
    assert (await bench.evaluations.resource.get(created.job.job_id)).metrics.overall.num_cases == 4
    bench.runs.answer("run-1", 9)
    await bench.until(created.job.job_id, lambda job: job.progress["done"] == 13)
    assert not working.done()
    bench.runs.finish("run-1")
    assert (await working).state is JobState.SUCCEEDED
    counts = await bench.events(created.job.job_id, "counts")
    assert [entry["num_cases"] for entry in counts] == [4, 9, 13]
    assert counts[-1] == {
        "num_cases": 13,
        "num_unanswered": 0,
        "num_conforming": 13,
        "num_accepted": 13,
        "num_well_formed": 13,
        "by_cause": {},
    }


async def test_a_run_that_tells_nothing_is_not_asked_for_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "HEARTBEAT_SECONDS", 0.01)
    bench = Bench()
    bench.runs.add(subject())
    created = await bench.evaluations.create("r", "run-1")
    working = asyncio.create_task(bench.work(created.job.job_id))
    await bench.runs.followed.wait()
    asked, told = bench.runs.num_pages, (await bench.jobs.get(created.job.job_id)).last_sequence
    await bench.until(created.job.job_id, lambda job: job.last_sequence > told + 1)
    assert bench.runs.num_pages == asked
    bench.runs.answer("run-1", 13)
    bench.runs.finish("run-1")
    assert (await working).state is JobState.SUCCEEDED


async def test_an_evaluation_whose_database_is_away_now_and_then_judges_each_answer_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench()
    bench.runs.add(subject())
    bench.runs.answer("run-1", 13, wrong=(1,))
    bench.runs.finish("run-1")
    created = await bench.evaluations.create("r", "run-1")
    break_often(monkeypatch)
    job = await bench.work(created.job.job_id)
    assert (job.state, job.attempt) == (JobState.SUCCEEDED, 1)
    assert (await bench.evaluations.resource.get(created.job.job_id)).metrics.overall.num_cases == 13


async def test_an_evaluation_whose_process_died_judges_only_what_is_left() -> None:
    first = Bench()
    first.runs.add(subject())
    first.runs.answer("run-1", 7, wrong=(1,))
    created = await first.evaluations.create("r", "run-1")
    await first.runner.start()
    await first.runs.followed.wait()
    await first.runner.stop(1.0)

    second = first.restart()
    second.runs.answer("run-1", 6, wrong=(8,))
    second.runs.finish("run-1")
    job = await second.work(created.job.job_id)
    assert (job.state, job.attempt) == (JobState.SUCCEEDED, 2)
    found = await second.evaluations.resource.get(created.job.job_id)
    assert found.metrics.by_cause == {"no_call": 2}
    assert (await second.events(created.job.job_id, "counts"))[-1]["num_cases"] == 13
    series = (await second.telemetry.render()).decode()
    assert 'drillyard_evaluator_verdicts_total{cause="no_call",profile="roo_xml"} 1.0' in series
    assert 'drillyard_evaluator_verdicts_total{cause="none",profile="roo_xml"} 5.0' in series


async def test_an_outage_of_the_test_runner_is_waited_out() -> None:
    bench = Bench()
    bench.runs.num_outages = 1
    assert (await bench.jobs.get(await bench.evaluated(subject()))).state is JobState.SUCCEEDED


async def test_an_evaluation_whose_subject_was_not_stored_reads_it_when_it_starts() -> None:
    bench = Bench()
    bench.runs.add(subject())
    bench.runs.answer("run-1", 13)
    bench.runs.finish("run-1")
    await bench.jobs.create("evaluation", "r", {"test_run_id": "run-1"}, job_id="eval-1")
    assert (await bench.work("eval-1")).state is JobState.SUCCEEDED


async def test_a_run_that_ended_without_answers_fails_the_evaluation_with_its_reason() -> None:
    bench = Bench()
    bench.runs.add(subject())
    bench.runs.finish("run-1", "FAILED", "The model cannot be loaded.")
    created = await bench.evaluations.create("r", "run-1")
    job = await bench.work(created.job.job_id)
    assert job.state is JobState.FAILED
    assert job.error is not None
    assert job.error.problem.startswith("The test run run-1 ended as FAILED: The model cannot be loaded.")


async def test_the_answers_of_a_cancelled_run_are_judged_and_it_is_said_how_many() -> None:
    bench = Bench()
    bench.runs.add(subject())
    bench.runs.answer("run-1", 4)
    bench.runs.finish("run-1", "CANCELLED")
    created = await bench.evaluations.create("r", "run-1")
    job = await bench.work(created.job.job_id)
    assert job.state is JobState.SUCCEEDED
    assert job.result is not None and job.result["is_complete"] is False
    assert (await bench.events(created.job.job_id, "message"))[0]["text"] == (
        "The test run run-1 ended as CANCELLED. 4 of 13 answers were there and are judged."
    )


async def test_a_cancelled_evaluation_keeps_its_verdicts() -> None:
    bench = Bench()
    bench.runs.add(subject())
    bench.runs.answer("run-1", 4)
    created = await bench.evaluations.create("r", "run-1")
    working = asyncio.create_task(bench.work(created.job.job_id))
    await bench.runs.followed.wait()
    await bench.evaluations.resource.cancel(created.job.job_id)
    assert (await working).state is JobState.CANCELLED
    assert (await bench.evaluations.resource.get(created.job.job_id)).metrics.overall.num_cases == 4


@pytest.mark.parametrize(
    ("end", "cause"),
    [(AnswerEnd.BACKEND_FAULT, "backend_fault"), (AnswerEnd.CONTEXT_OVERFLOW, "truncated_by_limit")],
)
async def test_answers_that_were_never_made_have_causes_of_their_own(end: AnswerEnd, cause: str) -> None:
    bench = Bench()
    bench.runs.add(replace(subject(), num_transcripts_total=1))
    bench.runs.answer("run-1", 1, end=end)
    bench.runs.finish("run-1")
    created = await bench.evaluations.create("r", "run-1")
    await bench.work(created.job.job_id)
    found = await bench.evaluations.resource.get(created.job.job_id)
    [verdict] = await bench.store.list_verdicts(created.job.job_id, VerdictFilter(), after_sequence=0, limit=9)
    assert verdict.cause == cause
    assert found.metrics.overall.accepted_rate == 0


async def test_a_deleted_evaluation_takes_its_verdicts_along_and_no_others() -> None:
    bench = Bench()
    gone, kept = await bench.evaluated(subject()), await bench.evaluated(subject("run-2"))
    await bench.evaluations.resource.delete(gone)
    with pytest.raises(NotFound):
        await bench.evaluations.resource.get(gone)
    assert await bench.store.count_verdicts(gone, VerdictFilter()) == 0
    page, _ = await bench.evaluations.list_evaluations("", page_size=9, page_token="")
    assert [item.job.job_id for item in page] == [kept]


async def test_a_transcript_of_a_case_that_the_suite_lacks_fails_the_evaluation() -> None:
    bench = Bench(suites=FakeSuites(CASES[1:]))
    job = await bench.jobs.get(await bench.evaluated(subject()))
    assert job.state is JobState.FAILED
    assert job.error is not None and CASES[0].case_id in job.error.problem


async def test_the_same_request_gives_the_same_evaluation() -> None:
    bench = Bench()
    bench.runs.add(subject())
    bench.runs.add(subject("run-2"))
    first = await bench.evaluations.create("r", "run-1")
    assert (await bench.evaluations.create("r", "run-1")).job.job_id == first.job.job_id
    with pytest.raises(AlreadyExists, match="test_run_id"):
        await bench.evaluations.create("r", "run-2")


async def test_only_runs_that_exist_are_evaluated() -> None:
    bench = Bench()
    with pytest.raises(NotFound):
        await bench.evaluations.create("r", "run-1")
    with pytest.raises(InvalidArgument):
        await bench.evaluations.create("r", "")


async def test_a_run_of_an_unknown_profile_is_refused() -> None:
    bench = Bench()
    bench.runs.add(replace(subject(), profile_id="klingon"))
    with pytest.raises(FailedPrecondition, match="klingon"):
        await bench.evaluations.create("r", "run-1")


async def test_evaluations_are_listed_by_run_newest_first() -> None:
    bench = Bench()
    for run in ("run-1", "run-2"):
        bench.runs.add(subject(run))
    ids = [
        (await bench.evaluations.create(f"{number}", run)).job.job_id
        for number, run in enumerate(("run-1", "run-2", "run-1", "run-1"))
    ]
    first, token = await bench.evaluations.list_evaluations("run-1", page_size=2, page_token="")
    rest, end = await bench.evaluations.list_evaluations("run-1", page_size=2, page_token=token)
    assert [item.job.job_id for item in (*first, *rest)] == [ids[3], ids[2], ids[0]]
    assert end == ""
