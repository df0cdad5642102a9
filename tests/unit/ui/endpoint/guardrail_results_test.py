"""Results of lm-eval's tasks, and two of them side by side."""

from typing import Any

import pytest

from ui.cli.guardrails.results import changes, results_of


def _found(value: float, stderr: Any) -> dict[str, Any]:
    return {
        "results": {
            "arc": {"alias": "arc", "sample_len": 10, "acc,none": value, "acc_stderr,none": stderr},
            "math": {"exact_match,strict": value, "exact_match_stderr,strict": stderr, "loss,none": value},
            "empty": {"alias": "empty"},
        },
        "higher_is_better": {"arc": {"acc": True}, "math": {"exact_match": True, "loss": False}},
        "n-samples": {"math": {"original": 5, "effective": 4}},
        "lm_eval_version": "0.4.13",
    }


def test_metrics_come_with_their_standard_errors() -> None:
    found = results_of(_found(0.5, 0.1))
    assert set(found["tasks"]) == {"arc", "math"}
    assert found["tasks"]["arc"]["metrics"] == {"acc": {"value": 0.5, "stderr": 0.1, "higher_is_better": True}}
    assert (found["tasks"]["arc"]["num_samples"], found["tasks"]["math"]["num_samples"]) == (10, 4)
    assert set(found["tasks"]["math"]["metrics"]) == {"exact_match,strict", "loss"}


def test_an_error_that_is_not_known_is_none() -> None:
    assert results_of(_found(0.5, "N/A"))["tasks"]["arc"]["metrics"]["acc"]["stderr"] is None


@pytest.mark.parametrize(
    ("after", "stderr", "judgement"),
    [(0.5, 0.1, "same"), (0.3, 0.1, "same"), (0.2, 0.1, "worse"), (0.8, 0.1, "better"), (0.49, "N/A", "worse")],
)
def test_a_change_counts_when_chance_does_not_explain_it(after: float, stderr: Any, judgement: str) -> None:
    found = changes(results_of(_found(0.5, stderr)), results_of(_found(after, stderr)))
    accuracy = next(one for one in found if one.task == "arc")
    assert (accuracy.is_worse, accuracy.is_better) == (judgement == "worse", judgement == "better")
    loss = next(one for one in found if one.metric == "loss")
    if after < 0.5:
        assert loss.is_better
        assert not loss.is_worse


def test_only_what_both_results_have_is_set_side_by_side() -> None:
    one, other = results_of(_found(0.5, 0.1)), results_of(_found(0.5, 0.1))
    del other["tasks"]["math"]["metrics"]["loss"]
    assert {(each.task, each.metric) for each in changes(one, other)} == {
        ("arc", "acc"),
        ("math", "exact_match,strict"),
    }
