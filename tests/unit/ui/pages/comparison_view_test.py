"""Two runs side by side: what may be compared, what changed, and where two forms part."""

from typing import Any

import pytest
from drillyard.evaluator.v1.comparison_pb2 import CaseChange, Comparison, Difference, Parity, ParityDifference
from drillyard.evaluator.v1.evaluation_pb2 import Evaluation
from drillyard.evaluator.v1.metrics_pb2 import Interval, Metrics, Rates, RepeatRate, ToolRates
from drillyard.evaluator.v1.verdict_pb2 import Verdict
from drillyard.job.v1.job_pb2 import Job, JobState
from drillyard.test_runner.v1.provenance_pb2 import Provenance
from drillyard.test_runner.v1.test_run_pb2 import Endpoint, Sampling, TestRun, TestRunSpec

from ui.comparisons.views import change_view, matrix_view, run_label, why_incomparable
from ui.evaluations.views import CAUSE_SENTENCES, metrics_view
from ui.shared.environment import render
from ui.test_runs import views as test_runs

SUCCEEDED, RUNNING = JobState.JOB_STATE_SUCCEEDED, JobState.JOB_STATE_RUNNING
HOSTILE = "<script>alert(1)</script>"


def _run(judged: JobState.ValueType | None = SUCCEEDED, **spec: Any) -> test_runs.TestRunView:
    given = {"model_version_id": "m@1", "test_suite_version_id": "roo_xml/core@1", **spec}
    run = TestRun(
        test_run_id="r",
        spec=TestRunSpec(**given),
        job=Job(state=SUCCEEDED),
        provenance=Provenance(profile_digest="sha256:1"),
        num_transcripts=4,
    )
    return test_runs.test_run_view(run, None if judged is None else Evaluation(job=Job(state=judged)))


def test_runs_of_two_models_with_the_same_settings_are_comparable() -> None:
    assert why_incomparable(_run(), _run(model_version_id="m@2")) == ""


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"test_suite_version_id": "roo_xml/core@2"}, "another suite: roo_xml/core@2, not roo_xml/core@1"),
        ({"prompt_size": "full"}, "another prompt size: full, not compact"),
        ({"num_repeats": 3}, "another number of repeats: 3, not 1"),
        ({"sampling": Sampling(temperature=0.7, min_p=0.05)}, "another sampling: temperature 0.7, min-p 0.05, seed 0"),
    ],
)
def test_what_differs_is_named_with_both_values(spec: dict[str, Any], reason: str) -> None:
    assert why_incomparable(_run(), _run(**spec)).startswith(reason)


def test_two_forms_of_a_model_may_differ_in_sampling_but_not_in_the_suite() -> None:
    warm = _run(sampling=Sampling(temperature=0.7))
    assert why_incomparable(_run(), warm, as_forms=True) == ""
    assert why_incomparable(_run(), _run(test_suite_version_id="a/b@1"), as_forms=True)


def test_a_run_that_is_not_judged_to_its_end_is_not_comparable() -> None:
    assert why_incomparable(_run(), _run(judged=None)) == "it is not judged"
    assert why_incomparable(_run(), _run(judged=RUNNING)) == "its evaluation is running"


def test_a_run_against_an_endpoint_is_named_by_its_model_and_host_and_shows_no_key() -> None:
    endpoint = Endpoint(base_url="http://box:8080/v1", model="qwen", api_key_secret="team", stop=["END"])
    view = _run(model_version_id="", endpoint=endpoint, throughput=True)
    assert run_label(view).startswith("qwen at box:8080 · roo_xml/core@1 · 0 %")
    assert ("Name of the key's secret", "team") in view.settings
    assert ("As fast as possible", "yes") in view.settings


def _comparison() -> Comparison:
    rise = Difference(mean=0.25, interval=Interval(low=-0.1, high=0.6), p_value=0.25)
    sure = Difference(mean=0.5, interval=Interval(low=0.4, high=0.6), p_value=0.0001)
    change = CaseChange(case_id=HOSTILE, tool="t", category="c", cause_before="no_call", sentence=HOSTILE)
    return Comparison(conforming=rise, accepted=sure, well_formed=Difference(), gains=[change], advice=["Do this."])


def test_a_change_says_points_interval_and_whether_chance_may_have_made_it() -> None:
    view = change_view(Evaluation(), Evaluation(), _comparison())
    found = [(one.points, one.interval, one.p_value, one.is_sure) for one in view.differences]
    assert found[0] == ("+25.0", "−10.0 to +60.0", "0.250", False)
    assert found[1] == ("+50.0", "+40.0 to +60.0", "below 0.001", True)
    assert found[2][3] is False


def test_the_matrix_counts_each_tool_and_cause_on_both_sides() -> None:
    before = [
        Verdict(tool="b", cause="no_call"),
        Verdict(tool="a", cause="no_call"),
        Verdict(tool="a", conforming=True),
    ]
    after = [Verdict(tool="b", conforming=True), Verdict(tool="a", cause="unclosed")]
    view = matrix_view(before, after)
    assert view.causes == ("conforms", "no_call", "unclosed")
    assert view.rows == (("a", ((1, 0), (1, 0), (0, 1))), ("b", ((0, 1), (1, 0), (0, 0))))


def test_the_page_of_a_comparison_escapes_what_cases_hold() -> None:
    change = change_view(Evaluation(), Evaluation(), _comparison())
    matrix = matrix_view([Verdict(tool=HOSTILE, cause=HOSTILE)], [])
    html = render(
        "comparisons/change",
        change=change,
        matrix=matrix,
        rows=[],
        categories=[],
        causes=[],
        sentences=CAUSE_SENTENCES,
        runs=("r", "s"),
    )
    assert "<script" not in html
    assert html.count("&lt;script&gt;") == 4
    assert "may be chance" in html
    assert "beyond chance" in html
    assert "Do this." in html


def test_parity_names_the_step_and_the_first_token_that_differs() -> None:
    place = ParityDifference(case_id="c", turn=1, token_index=4, before="a", after=HOSTILE, cause_after="no_call")
    unknown = ParityDifference(case_id="d", token_index=-1)
    parity = Parity(num_compared=9, equal_answers_rate=0.5, guilty_step="precision", differences=[place, unknown])
    html = render("comparisons/parity", parity=parity, runs=("r", "s"))
    assert "differs at answer 2, token 5" in html
    assert "differs at answer 1 " in html
    assert "guilty step: precision" in html
    assert "<script" not in html


def test_metrics_show_intervals_repeats_and_recovery_only_where_they_are() -> None:
    rates = Rates(num_cases=4, conforming_rate=0.5, conforming_interval=Interval(low=0.2, high=0.8))
    plain = metrics_view(Metrics(overall=rates, by_tool=[ToolRates(tool="t", rates=rates)]))
    assert plain.by_tool["t"].conforming_interval == Interval(low=0.2, high=0.8)
    assert plain.facts == ()
    rich = metrics_view(
        Metrics(
            by_repeats=[RepeatRate(k=1, pass_at_k=0.5), RepeatRate(k=2, pass_at_k=0.75, pass_hat_k=0.25)],
            num_recovery_cases=3,
            recovery_rate=1.0,
        )
    )
    facts = dict(rich.facts)
    assert facts["pass^2, all of 2"].startswith("25 %")
    assert facts["recovered after an error of the client"].endswith("of 3")
