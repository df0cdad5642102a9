from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from drillyard.feedback.v1 import loop_pb2

from services.chassis.errors import FailedPrecondition, InvalidArgument, NotFound, ResourceExhausted
from services.chassis.jobs import JobState
from services.feedback.convert.jobs import loop_to_proto
from services.feedback.domain.loop import LOOP_KIND, job_state
from services.feedback.domain.rounds import LAST_ROUND_STEPS, ROUND_STEPS, Rates, Round, Step, StopReason
from services.feedback.domain.spec import Budget, LoopSpec
from services.feedback.store.jobs import JobLoopStore
from services.protocols.cases import case_from_document
from services.protocols.suites.balance import category_of
from tests.unit.feedback.bench import SPEC, Bench, set_up
from tests.unit.outages import break_transactions


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with set_up(tmp_path) as made:
        yield made


async def test_a_version_that_meets_the_goals_is_only_tested(bench: Bench) -> None:
    bench.world.evaluator.judgement.rates["tiny@1"] = 0.9
    loop = await bench.play()
    assert loop.stop is not None and loop.stop.reason is StopReason.GOALS_MET
    assert len(loop.rounds) == 1 and loop.best_model_version_id == "tiny@1"
    assert await bench.world.made() == Counter(["0/test", "0/evaluate"])


async def test_rounds_go_on_from_the_best_version_until_the_goals_are_met(bench: Bench) -> None:
    bench.world.evaluator.judgement.rates |= {"tiny@1": 0.1, "tiny@2": 0.5, "tiny@3": 0.85}
    loop = await bench.play()
    assert loop.stop is not None and loop.stop.reason is StopReason.GOALS_MET
    assert [made.model_version_id for made in loop.rounds] == ["tiny@1", "tiny@2", "tiny@3"]
    assert [made.rates.conforming_rate for made in loop.rounds if made.rates] == [0.1, 0.5, 0.85]
    assert loop.best_model_version_id == "tiny@3"
    assert bench.tally.reasons == [StopReason.GOALS_MET]
    assert bench.tally.goals == [("conforming_rate", False), ("conforming_rate", False), ("conforming_rate", True)]
    grown = sum(after.num_tokens - before.num_tokens for before, after in bench.tally.spending)
    assert grown == loop.spent.num_tokens > 0
    assert bench.tally.steps == [Step.DIAGNOSE, *ROUND_STEPS, *ROUND_STEPS, *LAST_ROUND_STEPS]


async def test_a_loop_whose_database_is_away_now_and_then_makes_each_thing_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_transactions(monkeypatch, bench.store.jobs, "_writing")
    bench.world.evaluator.judgement.rates |= {"tiny@1": 0.1, "tiny@2": 0.9}
    loop = await bench.play()
    assert loop.stop is not None and loop.stop.reason is StopReason.GOALS_MET
    assert set((await bench.world.made()).values()) == {1} and loop.job.attempt == 1


@pytest.mark.parametrize("step", ["test", "probe"])
async def test_what_the_machine_did_not_answer_is_asked_again_before_the_loop_decides(bench: Bench, step: str) -> None:
    gate = bench.world.gates.close(f"0/{step}:work")
    async with bench.at_work():
        loop = await bench.usecases.create_loop("play", replace(SPEC, budget=Budget(1, 0)))
        await gate.arrival()
        bench.world.test_runner.num_torn = 2
        gate.open()
        loop = await bench.until_ended(loop.loop_id)
    assert loop.stop is not None
    made = await bench.world.made()
    for name in (step, "evaluate" if step == "test" else "probe_evaluate"):
        assert [made[f"0/{name}{end}"] for end in ("", "-finish-1", "-finish-2", "-finish-3")] == [1, 1, 1, 0]
    first = loop.rounds[0]
    run_id = first.test_run_id if step == "test" else first.probe_test_run_id
    evaluation_id = first.evaluation_id if step == "test" else first.probe_evaluation_id
    judged = await bench.world.evaluator.jobs.store.get(evaluation_id)
    assert judged.spec["test_run_id"] == run_id
    assert (await bench.world.test_runner.jobs.store.get(run_id)).result == {
        "is_incomplete": False,
        "num_generated_tokens": 100,
    }


async def test_a_run_that_stays_incomplete_fails_the_loop_with_a_sentence(bench: Bench) -> None:
    bench.world.test_runner.num_torn = 9
    loop = await bench.play()
    assert (loop.job.state, loop.rounds[0].rates) == (JobState.FAILED, None)
    assert loop.job.error is not None and "too few answers to decide on" in loop.job.error.problem
    assert f"transcripts {loop.rounds[0].test_run_id} --cause backend_fault" in loop.job.error.next_step


async def test_every_round_makes_each_thing_once(bench: Bench) -> None:
    bench.world.evaluator.judgement.rates |= {"tiny@2": 0.2, "tiny@3": 0.3}
    loop = await bench.play()
    names = ("test", "evaluate", "probe_suite", "probe", "probe_evaluate", "dataset", "train")
    expected = [*(f"{number}/{name}" for number in (0, 1) for name in names), "2/test", "2/evaluate"]
    assert await bench.world.made() == Counter(expected)
    assert loop.stop is not None and loop.stop.reason is StopReason.OUT_OF_ROUNDS


async def test_rounds_that_make_nothing_better_end_the_loop_and_the_best_version_is_kept(bench: Bench) -> None:
    bench.world.evaluator.judgement.rates |= {"tiny@1": 0.4, "tiny@2": 0.3}
    loop = await bench.play(replace(SPEC, budget=Budget(1, 0)))
    assert loop.stop is not None and loop.stop.reason is StopReason.NO_PROGRESS
    assert loop.best_model_version_id == "tiny@1"
    told = loop_to_proto(loop)
    assert (told.best_model_version_id, told.stop_reason) == ("tiny@1", loop_pb2.STOP_REASON_NO_PROGRESS)
    assert told.next_step.startswith("Start another loop from tiny@1 with more examples")


async def test_goals_on_a_form_are_met_by_what_its_form_answers(bench: Bench) -> None:
    form = {"form": "EXPORT_FORM_GGUF", "number_type": "Q4_1"}
    judgement = bench.world.evaluator.judgement
    # The version meets the goal from the start; its form does not.
    judgement.rates |= {"tiny@1": 0.9, "tiny-1-gguf@1": 0.3, "tiny-2-gguf@1": 0.85}
    loop = await bench.play(replace(SPEC, goal_form=form))
    assert loop.stop is not None and loop.stop.reason is StopReason.GOALS_MET
    assert loop.stop.sentence.endswith("is 85.0% (goal 80.0%), as gguf:Q4_1.")
    forms = [made.form_model_version_id for made in loop.rounds]
    assert forms == ["tiny-1-gguf@1", "tiny-2-gguf@1"] and loop.best_model_version_id == "tiny@2"
    runs = [await bench.world.test_runner.spec_of(made.test_run_id) for made in loop.rounds]
    assert [run.model_version_id for run in runs] == forms
    assert (await bench.world.test_runner.spec_of(loop.rounds[0].probe_test_run_id)).model_version_id == "tiny@1"
    (export, *_) = await bench.exports.all()
    assert export.spec == {"model_version_id": "tiny@1", "profile_id": "roo_xml", **form}
    assert loop.job.progress["done"] == loop.job.progress["total"] == 11


async def test_no_round_is_begun_after_the_minutes_are_used_up(bench: Bench) -> None:
    minutes = iter(range(0, 1000, 11))
    bench.clock = lambda: 60.0 * next(minutes)
    loop = await bench.play(replace(SPEC, budget=Budget(5, 10)))
    assert loop.stop is not None and loop.stop.reason is StopReason.OUT_OF_TIME
    assert len(loop.rounds) == 1


async def test_the_probe_decides_what_the_dataset_holds(bench: Bench) -> None:
    judgement = bench.world.evaluator.judgement
    judgement.other_cause, judgement.causes = "", {"apply_diff": "effect_failed", "new_task": "no_call"}
    loop = await bench.play(replace(SPEC, budget=Budget(1, 0), num_examples=130))
    lines = bench.world.registry.dataset_lines[loop.rounds[0].dataset_version_id]
    train = [row for row in map(json.loads, lines) if row["split"] == "train"]
    assert Counter(row["cause"] for row in train).keys() == {"effect_failed", "no_call", "none"}
    by_tool = Counter(row["tool"] for row in train)
    assert {tool for tool, _ in by_tool.most_common(2)} == {"apply_diff", "new_task"}


async def test_the_probe_is_of_the_pool_and_the_training_gets_the_settings_of_the_loop(bench: Bench) -> None:
    loop = await bench.play(replace(SPEC, budget=Budget(1, 0), num_probe_cases=13, training={"batch_size": 4}))
    cases = bench.world.registry.cases[loop.rounds[0].probe_test_suite_version_id]
    assert Counter(case.tool for case in cases) == dict.fromkeys({case.tool for case in cases}, 1)
    assert len(cases) == 13 and all(case.case_id.startswith("pool-") for case in cases)
    spec = (await bench.world.trainer.jobs.store.get(loop.rounds[0].training_job_id)).spec
    assert spec["batch_size"] == 4 and spec["model_version_id"] == "tiny@1" and int(spec["seed"]) > 0


async def test_before_and_after_are_tested_alike(bench: Bench) -> None:
    loop = await bench.play(replace(SPEC, budget=Budget(1, 0), max_new_tokens=64))
    before, after = [await bench.world.test_runner.spec_of(made.test_run_id) for made in loop.rounds]
    assert (before.model_version_id, after.model_version_id) == ("tiny@1", "tiny@2")
    after.model_version_id = before.model_version_id
    assert before == after
    assert before.sampling.max_new_tokens == 64 and before.seed == 7


async def test_each_step_is_told_as_started_and_finished_once_with_its_ids(bench: Bench) -> None:
    loop = await bench.play(replace(SPEC, budget=Budget(1, 0)))
    told = await bench.steps(loop.loop_id)
    counts = Counter((step["round"], step["step"], step["state"]) for step in told)
    steps = [(0, step) for step in (Step.DIAGNOSE, *ROUND_STEPS)] + [(1, step) for step in LAST_ROUND_STEPS]
    assert counts == Counter((number, str(step), state) for number, step in steps for state in ("started", "finished"))
    ids = {(step["round"], step["step"]): step["ids"] for step in told if step["state"] == "finished"}
    assert ids[0, "train"]["model_version_id"] == "tiny@2"
    assert ids[0, "dataset"]["dataset_version_id"] == loop.rounds[0].dataset_version_id
    assert all(step["message"] for step in told)


async def test_progress_ends_at_the_steps_that_were_done(bench: Bench) -> None:
    loop = await bench.play(replace(SPEC, budget=Budget(1, 0)))
    assert loop.job.progress["done"] == loop.job.progress["total"] == 9
    assert loop.stop is not None and loop.job.progress["message"] == loop.stop.sentence


async def test_a_failed_training_fails_the_loop_with_the_trainers_own_sentences(bench: Bench) -> None:
    bench.world.trainer.fault = ResourceExhausted("No space is left for /data.", "Free space there.")
    loop = await bench.play()
    assert loop.job.state is JobState.FAILED and loop.stop is None
    error = loop.job.error
    assert error is not None and error.code == "RESOURCE_EXHAUSTED"
    assert error.problem.startswith("The training job ") and error.problem.endswith("No space is left for /data.")
    assert error.next_step == "Free space there."


async def test_work_that_someone_else_cancels_fails_the_loop(bench: Bench) -> None:
    gate = bench.world.gates.close("0/test:work")
    async with bench.at_work():
        loop = await bench.usecases.create_loop("", SPEC)
        await gate.arrival()
        await bench.services.test_runner.cancel((await bench.world.test_runner.jobs.all())[0].job_id)
        loop = await bench.until_ended(loop.loop_id)
    assert loop.job.error is not None and "was cancelled by someone else" in loop.job.error.problem


@pytest.mark.parametrize("point", ["0/test:work", "0/evaluate:work", "0/probe:work", "0/train:work", "1/test:answer"])
async def test_cancelling_a_loop_cancels_what_it_waits_for(bench: Bench, point: str) -> None:
    gate = bench.world.gates.close(point)
    async with bench.at_work():
        loop = await bench.usecases.create_loop("", SPEC)
        await gate.arrival()
        await bench.store.cancel(loop.loop_id)
        if point.endswith(":answer"):
            gate.open()
        loop = await bench.until_ended(loop.loop_id)
    assert loop.job.state is JobState.CANCELLED
    assert loop.stop is not None and loop.stop.reason is StopReason.CANCELLED
    assert [job.request_id for job in await bench.world.jobs() if job.state is JobState.RUNNING] == []


async def test_an_ended_loop_cannot_be_cancelled(bench: Bench) -> None:
    bench.world.evaluator.judgement.rates["tiny@1"] = 1.0
    loop = await bench.play()
    with pytest.raises(FailedPrecondition):
        await bench.store.cancel(loop.loop_id)


async def test_a_cancel_that_a_killed_process_left_is_carried_out_by_the_next(bench: Bench) -> None:
    bench.world.gates.close("0/test:work")
    async with bench.at_work():
        loop = await bench.usecases.create_loop("", SPEC)
        await bench.until_told(loop.loop_id, Step.TEST)
    await bench.store.cancel(loop.loop_id)
    async with bench.at_work():
        loop = await bench.until_ended(loop.loop_id)
    assert loop.job.state is JobState.CANCELLED
    run = (await bench.world.test_runner.jobs.all())[0]
    assert run.state in (JobState.CANCELLING, JobState.CANCELLED)


async def _left_behind(bench: Bench, made: Round, spec: LoopSpec) -> str:
    """Store a loop as a process left it that was killed after `made` was recorded."""
    loop = await bench.usecases.create_loop("", spec)
    job = await bench.store.jobs.claim([LOOP_KIND], "dead", 60)
    assert job is not None
    await bench.store.jobs.save_checkpoint(loop.loop_id, job.epoch, job_state([made], 3600.0))
    await bench.store.jobs.release(loop.loop_id, job.epoch)
    return loop.loop_id


async def test_a_loop_that_was_decided_but_not_ended_begins_nothing_else(bench: Bench) -> None:
    made = Round(0, "tiny@1", test_run_id="r", evaluation_id="e", rates=Rates(0.9, 0.9, 0.9))
    loop_id = await _left_behind(bench, made, SPEC)
    async with bench.at_work():
        loop = await bench.until_ended(loop_id)
    assert loop.stop is not None and loop.stop.reason is StopReason.GOALS_MET
    assert await bench.world.made() == Counter()


async def test_training_that_has_begun_is_not_given_up_because_a_restart_took_long(bench: Bench) -> None:
    bench.world.evaluator.judgement.rates["tiny@2"] = 0.9
    made = Round(0, "tiny@1", "r", "e", Rates(0.1, 0.1, 0.1), probe_test_suite_version_id="roo_xml/core@1")
    loop_id = await _left_behind(bench, made, replace(SPEC, budget=Budget(2, 5)))
    async with bench.at_work():
        loop = await bench.until_ended(loop_id)
    assert loop.stop is not None and loop.stop.reason is StopReason.GOALS_MET
    assert len(loop.rounds) == 2


async def test_unknown_models_and_suites_are_refused_before_a_loop_is_stored(bench: Bench) -> None:
    for spec in (replace(SPEC, model_version_id="tiny@9"), replace(SPEC, test_suite_version_id="roo_xml/none")):
        with pytest.raises(NotFound):
            await bench.usecases.create_loop("", spec)
    assert await bench.store.list() == ([], "")


async def test_a_suite_whose_protocol_has_no_training_material_is_refused_before_a_loop_is_stored(bench: Bench) -> None:
    with pytest.raises(FailedPrecondition, match="text has no training material") as raised:
        await bench.usecases.create_loop("", replace(SPEC, test_suite_version_id="text/smoke@1"))
    assert raised.value.next_step
    assert await bench.store.list() == ([], "")


async def test_a_prompt_size_that_the_protocol_lacks_is_refused_before_a_loop_is_stored(bench: Bench) -> None:
    with pytest.raises(InvalidArgument, match="bare"):
        await bench.usecases.create_loop("", replace(SPEC, prompt_size="bare"))
    assert await bench.store.list() == ([], "")


async def test_a_loop_drills_what_its_suite_measures(bench: Bench) -> None:
    loop = await bench.play(
        replace(SPEC, test_suite_version_id="roo_xml/core@2", budget=Budget(1, 0), num_examples=120)
    )
    probe = bench.world.registry.cases[loop.rounds[0].probe_test_suite_version_id]
    rows = list(map(json.loads, bench.world.registry.dataset_lines[loop.rounds[0].dataset_version_id]))
    taught = {category_of(case_from_document(row["case"])) for row in rows if row["split"] == "train"}
    measured = {category_of(case) for case in bench.world.registry.cases["roo_xml/core@2"]}
    assert {category_of(case) for case in probe} == taught == measured


async def test_a_repeated_request_gives_the_same_loop_although_the_model_has_a_newer_version(bench: Bench) -> None:
    first = await bench.usecases.create_loop("same", SPEC)
    bench.world.registry.models.register("another", "tiny", "")
    again = await bench.usecases.create_loop("same", SPEC)
    assert again.loop_id == first.loop_id and again.inputs.model_version_id == "tiny@1"


async def test_a_loop_whose_stored_spec_names_every_default_is_found_again(bench: Bench) -> None:
    first = await bench.usecases.create_loop("same", SPEC)
    stored = {**first.job.spec, "spec": json.loads(json.dumps(asdict(first.asked)))}
    assert stored != first.job.spec
    earlier = await bench.store.jobs.create(LOOP_KIND, "earlier", stored)
    found = await JobLoopStore(bench.store.jobs, bench.store.answers).create("earlier", first.asked, first.inputs)
    assert found.loop_id == earlier.job_id


async def test_services_that_restart_while_they_are_watched_do_not_end_a_loop(bench: Bench) -> None:
    gates = [bench.world.gates.close(point) for point in ("0/test:work", "0/train:work")]
    async with bench.at_work():
        loop = await bench.usecases.create_loop("", replace(SPEC, budget=Budget(1, 0)))
        for gate, step in zip(gates, (Step.TEST, Step.TRAIN), strict=True):
            await bench.until_told(loop.loop_id, step)
            await bench.neighbourhood.restart()
            gate.open()
        loop = await bench.until_ended(loop.loop_id)
    assert loop.stop is not None and loop.stop.reason is StopReason.NO_PROGRESS


async def test_a_loop_waits_for_services_that_are_away_says_so_and_goes_on(bench: Bench) -> None:
    gate = bench.world.gates.close("0/test:work")
    async with bench.at_work():
        loop = await bench.usecases.create_loop("", replace(SPEC, budget=Budget(1, 0)))
        await bench.until_told(loop.loop_id, Step.TEST)
        await bench.neighbourhood.stop()
        async for event in bench.store.watch(loop.loop_id, 0):
            if "Waiting for the " in event.payload.get("message", ""):
                break
        await bench.neighbourhood.restart()
        gate.open()
        loop = await bench.until_ended(loop.loop_id)
    assert loop.stop is not None and loop.stop.reason is StopReason.NO_PROGRESS


async def test_a_loop_that_waits_keeps_telling_that_it_lives(bench: Bench) -> None:
    gate = bench.world.gates.close("0/test:work")
    async with bench.at_work():
        loop = await bench.usecases.create_loop("", SPEC)
        await bench.until_told(loop.loop_id, Step.TEST)
        num_told = 0
        async for event in bench.store.watch(loop.loop_id, 0):
            num_told += event.type == "progress" and event.payload["phase"] == "test"
            if num_told == 4:
                break
        gate.open()
