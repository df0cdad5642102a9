"""Cases that the machine did not answer: in no rate, neither gain nor loss, and told beside what was judged."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection

import pytest

from services.evaluator.convert import evaluation_to_proto
from services.evaluator.domain.evaluation import ExportFormat
from services.evaluator.domain.parity import GuiltyStep, RunDifference
from services.evaluator.ports import AnswerEnd
from services.protocols.verdict import is_incomplete
from tests.unit.evaluator.bench import CASES, Bench, subject


async def evaluated(
    bench: Bench, run_id: str, *, unanswered: Collection[int] = (), wrong: Collection[int] = (), num_repeats: int = 1
) -> str:
    """Evaluate a run, by the 1-based places of what was not answered and of what was answered wrongly."""
    run = subject(run_id, num_repeats=num_repeats)
    bench.runs.add(run)
    for place in range(1, run.num_transcripts_total + 1):
        end = AnswerEnd.BACKEND_FAULT if place in unanswered else AnswerEnd.STOP
        bench.runs.answer(run_id, 1, wrong=tuple(wrong), end=end)
    bench.runs.finish(run_id)
    created = await bench.evaluations.create(f"of {run_id}", run_id)
    await bench.work(created.job.job_id)
    return created.job.job_id


async def test_no_figure_counts_a_case_that_was_not_answered() -> None:
    bench = Bench()
    evaluation = await bench.evaluations.resource.get(await evaluated(bench, "run-1", unanswered=(5, 6), wrong=(2,)))
    metrics = evaluation.metrics
    assert (metrics.overall.num_cases, metrics.overall.num_unanswered) == (11, 2)
    assert metrics.overall.conforming_rate == pytest.approx(10 / 11)
    assert metrics.by_cause == {"no_call": 1}
    assert sum(rates.num_cases for rates in metrics.by_tool.values()) == 11
    assert metrics.by_layer["call_present"].num_applicable == 11
    assert metrics.by_repeats[0].pass_at_k == pytest.approx(10 / 11)
    assert (metrics.mean_turns, metrics.usage.num_generated_tokens) == (1.0, 55)
    assert metrics.advice[0].startswith("2 of 13 cases were not answered")
    assert evaluation_to_proto(evaluation).is_incomplete


async def test_a_repeat_that_was_not_answered_is_no_disagreement() -> None:
    bench = Bench()
    missing = len(CASES) + 3
    evaluation = await bench.evaluations.resource.get(
        await evaluated(bench, "run-1", unanswered=(missing,), num_repeats=2)
    )
    assert evaluation.metrics.flaky_rate == 0
    assert [rate.pass_hat_k for rate in evaluation.metrics.by_repeats] == [1, 1]


async def test_a_case_that_was_not_answered_is_neither_gain_nor_loss() -> None:
    bench = Bench()
    whole = await evaluated(bench, "run-1")
    torn = await evaluated(bench, "run-2", unanswered=(5, 6), wrong=(7,))
    there, back = await bench.comparisons.compare(whole, torn), await bench.comparisons.compare(torn, whole)
    assert ([change.case_id for change in there.losses], there.gains) == ([CASES[6].case_id], ())
    assert ([change.case_id for change in back.gains], back.losses) == ([CASES[6].case_id], ())
    assert there.conforming.mean == pytest.approx(-1 / 11)
    assert [change.cause for change in there.by_cause] == ["no_call"]
    assert "Not answered were 0 before and 2 after" in there.sentence


async def test_parity_leaves_out_what_one_form_did_not_answer() -> None:
    bench = Bench()
    whole, torn = await evaluated(bench, "run-1"), await evaluated(bench, "run-2", unanswered=(5, 6))
    bench.runs.difference = RunDifference(11, 11, (), num_unanswered=2)
    parity = await bench.comparisons.check_parity(whole, torn)
    assert (parity.equal_verdicts_rate, parity.guilty_step) == (1, GuiltyStep.NONE)
    assert "2 without an answer on one side are left out" in parity.sentence


@pytest.mark.parametrize("form", list(ExportFormat))
async def test_every_export_tells_what_was_not_answered(form: ExportFormat) -> None:
    bench = Bench()
    evaluation_id = await evaluated(bench, "run-1", unanswered=(5,))
    file = await bench.exports.export(evaluation_id, form, before_evaluation_id="", facts=())
    text = b"".join([chunk async for chunk in file.chunks]).decode()
    match form:
        case ExportFormat.JSON:
            document = json.loads(text)
            assert [item["is_answered"] for item in document["verdicts"]].count(False) == 1
            assert document["metrics"]["overall"]["num_unanswered"] == 1
        case ExportFormat.CSV:
            assert [row["is_answered"] for row in csv.DictReader(io.StringIO(text))].count("False") == 1
        case ExportFormat.INSPECT:
            log = json.loads(text)
            assert [bool(sample["scores"]) for sample in log["samples"]].count(False) == 1
            assert (log["samples"][4]["error"]["message"], log["results"]["completed_samples"]) != ("", 13)
        case ExportFormat.HTML:
            assert "1 of 13 cases were not answered" in text and "No answer fails." in text


@pytest.mark.parametrize(("num_answered", "expected"), [(100, False), (98, False), (97, True), (0, True)])
def test_a_run_is_incomplete_above_two_percent(num_answered: int, expected: bool) -> None:
    assert is_incomplete(num_answered, 100) is expected
