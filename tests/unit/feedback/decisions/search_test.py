"""A round that is no better by more than chance makes a loop search for settings by short trainings."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services.chassis.errors import FailedPrecondition, InvalidArgument
from services.feedback.clients.trainer import GrpcTrainer
from services.feedback.decisions.answers import answered, check_change
from services.feedback.decisions.decision import DecisionAction, DecisionChange, DecisionTopic, TrainingMethod
from services.feedback.decisions.evidence import Evidence
from services.feedback.decisions.search import best_trial, first_rung, next_rung, on_stall, on_trials, trial_settings
from services.feedback.decisions.trial import Search, SearchTrial
from services.feedback.domain.goals import Goal, Reading
from services.feedback.domain.rounds import (
    Rates,
    Round,
    StopReason,
    adapter_settings,
    round_from_document,
    with_adapter_settings,
)
from services.feedback.domain.rounds import round_to_document as to_document
from services.feedback.domain.spec import Budget, check
from services.feedback.domain.work import TrainingOrder
from tests.unit.feedback.bench import SPEC, Bench, set_up

SPEC_OF_SEARCH = replace(
    SPEC,
    goals=(Goal("conforming_rate", 0.8, confidence=0.95),),
    budget=Budget(2, 0, plateau_rounds=2),
    search=Search(4, 64, 15.0),
    num_examples=400,
)
EVIDENCE = Evidence(39, 0, 20, 20, 0, 0, 0)


def round_of(number: int, share: float, **fields: object) -> Round:
    made = Round(number, f"tiny@{number + 1}", rates=Rates(share, share, share), readings=(Reading(share, 130),))
    return replace(made, **fields)  # type: ignore[arg-type]


def judged(trial: SearchTrial, value: float) -> SearchTrial:
    return replace(trial, is_judged=True, value=value, num_cases=26)


def test_a_round_within_chance_is_followed_by_a_search_of_the_best_version_once() -> None:
    rounds = [round_of(0, 0.4), round_of(1, 0.42)]
    decision = on_stall(SPEC_OF_SEARCH, rounds, EVIDENCE)
    assert decision is not None and (decision.action, decision.model_version_id) == (DecisionAction.SEARCH, "tiny@2")
    assert "by more than chance" in decision.reason and decision.figures["value_before"] == 0.4
    searched = [rounds[0], replace(rounds[1], decisions=(decision,)), round_of(2, 0.41)]
    assert on_stall(SPEC_OF_SEARCH, searched, EVIDENCE) is None


@pytest.mark.parametrize("share", [0.1, 0.7])
def test_a_round_that_is_better_or_worse_by_more_than_chance_is_none_to_search_after(share: float) -> None:
    assert on_stall(SPEC_OF_SEARCH, [round_of(0, 0.4), round_of(1, share)], EVIDENCE) is None


def test_a_loop_with_a_method_or_without_trials_never_searches_and_one_trial_is_refused() -> None:
    rounds = [round_of(0, 0.4), round_of(1, 0.4)]
    for spec in (
        replace(SPEC_OF_SEARCH, training={"method": "TRAINING_METHOD_SFT"}),
        replace(SPEC_OF_SEARCH, search=Search(0, 64, 15.0)),
        replace(SPEC_OF_SEARCH, search=Search(None, 0, 0.0)),
    ):
        assert on_stall(spec, rounds, EVIDENCE) is None
    with pytest.raises(InvalidArgument, match="compares nothing"):
        check(replace(SPEC_OF_SEARCH, search=Search(1, 64, 15.0)))


def test_twice_the_rank_is_tried_too_where_the_rank_is_known() -> None:
    new = first_rung(SPEC_OF_SEARCH, is_foreign=False)
    assert [(trial.learning_rate, trial.rank) for trial in new] == [(1e-3, 16), (1e-3, 32), (5e-4, 16), (5e-4, 32)]
    assert trial_settings(SPEC_OF_SEARCH, new[1])["lora"] == {"r": 32, "lora_alpha": 64}
    narrow = replace(SPEC_OF_SEARCH, training={"lora": {"r": 8}})
    assert {trial.rank for trial in first_rung(narrow, is_foreign=False)} == {8}, "16 is what unset means"
    further = first_rung(SPEC_OF_SEARCH, is_foreign=True)
    assert [trial.learning_rate for trial in further] == [1e-3, 5e-4, 2e-3, 2.5e-4]
    assert trial_settings(SPEC_OF_SEARCH, further[0]) == {"learning_rate": 1e-3}


def test_the_better_half_goes_on_with_twice_the_rows_until_two_are_left() -> None:
    first = first_rung(SPEC_OF_SEARCH, is_foreign=True)
    trials = [judged(trial, value) for trial, value in zip(first, (0.3, 0.5, 0.4, 0.2), strict=True)]
    second = next_rung(SPEC_OF_SEARCH, trials)
    assert [(trial.number, trial.rung, trial.num_examples) for trial in second] == [(5, 1, 128), (6, 1, 128)]
    assert [trial.learning_rate for trial in second] == [5e-4, 2e-3]
    trials += [judged(second[0], 0.45), judged(second[1], 0.55)]
    assert next_rung(SPEC_OF_SEARCH, trials) == ()
    best = best_trial(trials)
    assert best is not None and best.number == 6


def test_a_search_ends_early_where_one_is_better_by_more_than_chance_and_where_all_others_failed() -> None:
    first = first_rung(SPEC_OF_SEARCH, is_foreign=True)
    clear = [judged(trial, value) for trial, value in zip(first, (0.1, 0.9, 0.1, 0.2), strict=True)]
    assert next_rung(SPEC_OF_SEARCH, clear) == ()
    broken = [replace(trial, problem="Out of memory.", value=0.0) for trial in clear[:3]]
    assert best_trial([*broken, clear[3]]) == clear[3] and best_trial(broken) is None


def test_without_a_result_the_loops_own_settings_are_trained() -> None:
    search = on_stall(SPEC_OF_SEARCH, [round_of(0, 0.4), round_of(1, 0.4)], EVIDENCE)
    assert search is not None
    decision = on_trials(SPEC_OF_SEARCH, search, first_rung(SPEC_OF_SEARCH, is_foreign=True))
    assert (decision.action, decision.training, decision.figures) == (DecisionAction.TRAIN, {}, {"num_trials": 0.0})


def test_a_person_may_train_at_once_instead_or_other_settings_than_the_winners_but_no_other_rows() -> None:
    search = on_stall(SPEC_OF_SEARCH, [round_of(0, 0.4), round_of(1, 0.4)], EVIDENCE)
    assert search is not None
    rate = DecisionChange(None, {"learning_rate": 1e-4}, 0, None, go_on=False)
    check_change(search, rate)
    assert answered(search, rate)[1].action is DecisionAction.TRAIN
    winner = on_trials(SPEC_OF_SEARCH, search, [judged(first_rung(SPEC_OF_SEARCH, is_foreign=True)[0], 0.5)])
    check_change(winner, rate)
    for change in (replace(rate, method=TrainingMethod.SFT), replace(rate, num_examples=9)):
        with pytest.raises(InvalidArgument, match="rows of the round are built"):
            check_change(winner, change)


def test_what_is_trained_further_keeps_the_rank_that_a_search_gave_it() -> None:
    search = on_stall(SPEC_OF_SEARCH, [round_of(0, 0.4), round_of(1, 0.4)], EVIDENCE)
    assert search is not None
    wide = judged(first_rung(SPEC_OF_SEARCH, is_foreign=False)[1], 0.5)
    decision = replace(on_trials(SPEC_OF_SEARCH, search, [wide]), model_version_id="tiny@1")
    again = replace(decision, model_version_id="tiny@2", training={})
    rounds = [round_of(0, 0.4, decisions=(decision,)), round_of(1, 0.5, decisions=(again,)), round_of(2, 0.6)]
    assert adapter_settings(rounds, "tiny@3") == {"lora": {"r": 32, "lora_alpha": 64}}
    assert adapter_settings(rounds, "tiny@1") == {}
    own = {"lora": {"r": 16, "lora_dropout": 0.1}}
    kept = {"lora": {"r": 32, "lora_alpha": 64, "lora_dropout": 0.1}}
    assert with_adapter_settings(own, rounds, "tiny@3") == kept
    trials = (wide, replace(wide, number=2, problem="It diverged."))
    made = replace(rounds[0], trials=trials)
    assert round_from_document(to_document(made)).trials == trials


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with set_up(tmp_path) as made:
        made.world.evaluator.judgement.rates |= {"tiny@1": 0.4, "tiny@2": 0.42, "tiny@3": 0.9}
        made.evidence.adherence = lambda spec: 0.5 + spec["learning_rate"] * 100 + ("lora" in spec) / 10
        yield made


async def test_the_trials_are_short_trainings_and_the_winners_settings_train_the_round(bench: Bench) -> None:
    loop = await bench.play(replace(SPEC_OF_SEARCH, num_examples=26))
    assert loop.stop is not None and loop.stop.reason is StopReason.GOALS_MET
    search, winner = loop.rounds[1].decisions
    wide = {"learning_rate": 1e-3, "lora": {"r": 32, "lora_alpha": 64}}
    assert (search.action, winner.rule, winner.training) == (DecisionAction.SEARCH, "search", wide)
    made = await bench.world.made()
    assert [made[f"1/search-{number}"] for number in range(1, 8)] == [1, 1, 1, 1, 1, 1, 0]
    jobs = {job.request_id.split("/")[-1]: job.spec for job in await bench.world.trainer.jobs.all()}
    trial, round_job = jobs["search-3"], (await bench.world.trainer.jobs.store.get(loop.rounds[1].training_job_id)).spec
    assert (trial["max_steps"], trial["output_model_id"], trial["learning_rate"]) == (7, "tiny-search", 5e-4)
    assert trial["dataset_version_id"] == round_job["dataset_version_id"] and trial["seed"] == round_job["seed"]
    assert round_job["lora"] == wide["lora"] and "max_steps" not in round_job
    # Two steps of 500 tokens each, of two rounds and of six trials.
    assert loop.spent.num_trained_tokens == 8 * 1000
    assert loop.rounds[2].model_version_id == "tiny@3", "no trial is a version of the model"


async def test_no_trial_is_begun_beyond_the_budget_and_the_best_so_far_trains(bench: Bench) -> None:
    # One round takes 1,000 trained and some generated tokens, and each trial 1,000.
    budget = Budget(2, 0, plateau_rounds=2, max_tokens=3100)
    loop = await bench.play(replace(SPEC_OF_SEARCH, budget=budget))
    trials = loop.rounds[1].trials
    assert 0 < sum(trial.is_judged for trial in trials) < 4 and loop.rounds[1].training_job_id
    assert loop.rounds[1].decision_on(DecisionTopic.TRAINING) is not None


async def test_a_trial_that_fails_loses_and_a_process_that_dies_doubles_none(bench: Bench) -> None:
    trainer = bench.world.trainer
    trainer.fault = FailedPrecondition("It does not fit.", "Take less.")
    trainer.is_faulty = lambda spec: "lora" in spec
    gate = bench.world.gates.close("1/search-2:work")
    async with bench.at_work():
        loop = await bench.usecases.create_loop("play", replace(SPEC_OF_SEARCH, num_examples=26))
        await gate.arrival()
    gate.open()
    async with bench.at_work():
        loop = await bench.until_ended(loop.loop_id)
    assert set((await bench.world.made()).values()) == {1}
    trials = loop.rounds[1].trials
    assert "It does not fit." in trials[1].problem and [trial.number for trial in trials if trial.problem] == [2, 4]
    decision = loop.rounds[1].decision_on(DecisionTopic.TRAINING)
    assert decision is not None and decision.training == {"learning_rate": 1e-3}


async def test_a_trial_that_the_trainer_refuses_loses_and_the_loop_goes_on(bench: Bench) -> None:
    class Refusing(GrpcTrainer):
        def __init__(self, trainer: Any) -> None:
            self._stub = trainer._stub

        async def start(self, request_id: str, order: TrainingOrder) -> str:
            if "lora" in order.settings:
                raise InvalidArgument("The rank is too large.", "Take less.")
            return await super().start(request_id, order)

    bench.services = replace(bench.services, trainer=Refusing(bench.services.trainer))
    loop = await bench.play(replace(SPEC_OF_SEARCH, num_examples=26))
    trials = loop.rounds[1].trials
    assert "too large" in trials[1].problem and not trials[1].training_job_id
    assert loop.stop is not None and loop.stop.reason is StopReason.GOALS_MET
