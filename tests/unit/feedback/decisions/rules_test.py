"""Which step comes next: a table of what was measured, and what is done about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from services.chassis.errors import InvalidArgument
from services.feedback.decisions.decision import DatasetRecipe, DecisionAction, TrainingMethod
from services.feedback.decisions.evidence import Rollouts, evidence_of, rollouts_of
from services.feedback.decisions.faults import on_answers, on_template
from services.feedback.decisions.training import on_probe, on_regression, wants_rollouts
from services.feedback.domain.guardrails import GuardrailReading
from services.feedback.domain.rounds import Rates, Round
from services.feedback.domain.spec import Budget, check
from services.feedback.domain.work import ProbeVerdict, TemplateFault
from tests.unit.feedback.bench import SPEC

ROUNDS = replace(SPEC, budget=Budget(3, 0, plateau_rounds=2), num_examples=400)


def verdicts(*causes: str, fault: str = "", num_rights: int = 0) -> list[ProbeVerdict]:
    return [
        ProbeVerdict(f"case-{place}", "read_file", cause, fault=fault)
        for place, cause in enumerate([*causes, *[""] * num_rights])
    ]


def drawn(*outcomes: Sequence[str]) -> list[ProbeVerdict]:
    return [ProbeVerdict(f"case-{place}", "t", cause) for place, causes in enumerate(outcomes) for cause in causes]


MIXED, EQUAL = Rollouts(10, 5, 1, 4, 20), Rollouts(10, 1, 2, 7, 20)
FORM, NEAR = ["wrong_format"] * 6 + ["wrong_tool"] * 4, ["wrong_format"] + ["wrong_arguments"] * 9


@pytest.mark.parametrize(
    ("causes", "rollouts", "mixed_method", "rule", "method", "num_examples"),
    [
        (FORM, None, "DPO", "format_failures", "SFT", 400),
        (NEAR, MIXED, "DPO", "mixed_rollouts", "DPO", 20),
        (NEAR, MIXED, "GRPO", "mixed_rollouts", "GRPO", 100),
        (NEAR, EQUAL, "DPO", "equal_rollouts", "SFT", 800),
        (NEAR, replace(MIXED, num_pairs=3), "DPO", "too_few_pairs", "SFT", 400),
        (NEAR, None, "DPO", "near_misses", "SFT", 400),
    ],
)
def test_what_a_round_trains_follows_from_what_its_probe_showed(
    causes: list[str], rollouts: Rollouts | None, mixed_method: str, rule: str, method: str, num_examples: int
) -> None:
    spec = replace(ROUNDS, mixed_method=TrainingMethod[mixed_method])
    decision = on_probe(spec, "tiny@2", evidence_of(verdicts(*causes, num_rights=2)), rollouts)
    assert (decision.rule, decision.method, decision.model_version_id) == (rule, TrainingMethod[method], "tiny@2")
    assert decision.recipe is not None and decision.recipe.num_examples == num_examples
    assert decision.figures["num_failed"] == len(causes) and f"{len(causes)} of {len(causes) + 2}" in decision.reason
    assert ("learning_rate" in decision.training) == (method != "SFT")


def test_a_method_that_the_loop_was_told_is_kept_with_its_settings() -> None:
    training = {"method": "TRAINING_METHOD_DPO", "dpo": {"beta": 0.2}, "grpo": {"beta": 1.0}, "batch_size": 2}
    spec = replace(ROUNDS, training=training)
    decision = on_probe(spec, "tiny@1", evidence_of(verdicts(*FORM)), MIXED)
    assert (decision.rule, decision.method) == ("fixed_method", TrainingMethod.DPO)
    own = {"method": "TRAINING_METHOD_DPO", "dpo": {"beta": 0.2}, "batch_size": 2}
    assert decision.settings(training) == {**own, "learning_rate": 5e-5}
    told = {**training, "learning_rate": 1e-4}
    decision = on_probe(replace(spec, training=told), "tiny@1", evidence_of(verdicts(*FORM)), MIXED)
    assert decision.settings(told) == {**own, "learning_rate": 1e-4}
    assert on_probe(spec, "tiny@1", evidence_of(verdicts(*FORM)), replace(MIXED, num_pairs=0)).rule == "too_few_pairs"


def test_sft_that_was_chosen_asks_the_trainer_as_loops_always_did() -> None:
    decision = on_probe(ROUNDS, "tiny@1", evidence_of(verdicts(*FORM)), None)
    assert decision.settings({"batch_size": 4, "lora": {"r": 8}}) == {"batch_size": 4, "lora": {"r": 8}}


def test_several_answers_are_drawn_only_where_they_can_change_the_decision() -> None:
    near, form = evidence_of(verdicts(*NEAR)), evidence_of(verdicts(*FORM))
    assert wants_rollouts(ROUNDS, near) and not wants_rollouts(ROUNDS, form)
    for budget in (Budget(1, 0, plateau_rounds=2), Budget(3, 0)):
        assert not wants_rollouts(replace(ROUNDS, budget=budget), near), "one round, and an old loop, are SFT as before"
    assert not wants_rollouts(replace(ROUNDS, num_rollouts=1), near)
    assert not wants_rollouts(ROUNDS, evidence_of(verdicts(num_rights=5)))
    assert wants_rollouts(replace(ROUNDS, training={"method": "TRAINING_METHOD_DPO"}), form)


def test_a_worse_round_goes_back_to_the_best_version_with_replay_and_each_time_half_the_rate() -> None:
    rounds = [Round(number, f"tiny@{number + 1}", rates=Rates(rate, 1, 1)) for number, rate in enumerate((0.5, 0.3))]
    probe = evidence_of(verdicts(*FORM))
    assert on_regression(ROUNDS, rounds[:1], probe) is None
    first = on_regression(ROUNDS, rounds, probe)
    assert first is not None and first.action is DecisionAction.BRANCH_BACK and first.model_version_id == "tiny@1"
    assert first.recipe is not None and first.recipe.replay_share == 0.3
    assert first.settings({"learning_rate": 0.001, "batch_size": 4}) == {"learning_rate": 0.0005, "batch_size": 4}
    assert (first.figures["best_value"], first.figures["last_value"]) == (0.5, 0.3)
    rounds = [rounds[0], replace(rounds[1], decisions=(first,)), Round(2, "tiny@3", rates=Rates(0.4, 1, 1))]
    again = on_regression(ROUNDS, rounds, probe)
    assert again is not None and again.training == {"learning_rate": 0.00025}
    dpo = replace(ROUNDS, training={"method": "TRAINING_METHOD_DPO"})
    pairs, few = on_regression(dpo, rounds[:2], probe, 9), on_regression(dpo, rounds[:2], probe, 7)
    assert pairs is not None and pairs.method is TrainingMethod.DPO and pairs.recipe == DatasetRecipe(9)
    assert few is not None and few.method is TrainingMethod.SFT and few.recipe == first.recipe
    assert (pairs.training, few.training) == ({"learning_rate": 1.25e-5}, {"learning_rate": 0.00025})
    assert "9 pairs" in pairs.reason and "30%" in few.reason
    lost = replace(rounds[1], rates=Rates(0.9, 1, 1), guardrails=(GuardrailReading(is_broken=True),))
    rolled_back = on_regression(ROUNDS, [rounds[0], lost], probe)
    assert rolled_back is not None and "Round 1 lost what it must not. Back to tiny@1" in rolled_back.reason


def test_what_nobody_could_judge_steers_nothing() -> None:
    unknown = verdicts(*["backend_fault"] * 30, *FORM)
    evidence = evidence_of(unknown)
    assert (evidence.num_unknown, evidence.num_answers, evidence.num_failed) == (30, 10, 10)
    assert evidence.form_share == evidence_of(verdicts(*FORM)).form_share
    assert on_answers("tiny@1", evidence, is_trained_here=True, num_tokens=40) is None
    groups = rollouts_of(drawn(["", "backend_fault"], ["wrong_tool", "backend_fault", ""], ["", ""]), 0)
    assert (groups.num_prompts, groups.num_mixed, groups.num_all_right) == (2, 1, 1)


def test_a_template_fault_is_named_with_its_fix() -> None:
    faults = [TemplateFault("no_tool_role", "Results of calls are left out.", "Add a branch for the role tool.")]
    stop = on_template("tiny@1", "roo_native", faults)
    assert stop is not None and stop.action is DecisionAction.STOP
    assert "(no_tool_role): Results of calls are left out." in stop.reason and stop.next_step.startswith("Add a branch")
    assert on_template("tiny@1", "roo_native", []) is None


@pytest.mark.parametrize(
    ("asked", "is_trained_here", "rule"),
    [
        (verdicts(*["template_fault"] * 10), False, "template_fault"),
        (verdicts(*["no_call"] * 10, fault="empty_answer"), False, "empty_answers"),
        (verdicts(*["truncated_by_limit"] * 10), True, "cut_off_answers"),
        # What was never trained may not know yet where an answer ends.
        (verdicts(*["truncated_by_limit"] * 10), False, None),
        (verdicts(*["truncated_by_limit"] * 8, num_rights=2), True, None),
        (verdicts(*["no_call"] * 10), False, None),
    ],
)
def test_answers_that_show_a_fault_of_the_machinery_stop_the_loop(
    asked: list[ProbeVerdict], is_trained_here: bool, rule: str | None
) -> None:
    stop = on_answers("tiny@1", evidence_of(asked), is_trained_here=is_trained_here, num_tokens=len(asked))
    assert (stop.rule if stop else None) == rule
    if stop:
        assert "10 of 10 cases" in stop.reason and "drillyard doctor tiny@1" in stop.next_step


def test_a_model_that_writes_much_and_says_nothing_is_trained() -> None:
    evidence = evidence_of(verdicts(*["no_call"] * 10, fault="empty_answer"))
    assert on_answers("tiny@1", evidence, is_trained_here=False, num_tokens=1120) is None
    assert on_answers("tiny@1", evidence, is_trained_here=False, num_tokens=None) is None


def test_answers_that_differ_cannot_be_trained_by_sft() -> None:
    with pytest.raises(InvalidArgument, match="mixed_method"):
        check(replace(SPEC, mixed_method=TrainingMethod.SFT))
