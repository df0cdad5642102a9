"""A tiny random model is trained by OpenAI's client, and answers; and goes through a whole loop as in `helm test`."""

import asyncio
import json
import os
import sys
from typing import Any

import pytest

from services.protocols.cases import case_to_document
from services.protocols.profile import get_profile
from tests.integration.gateway_routes.tiny_model.conftest import Real
from tests.integration.processes import start_service
from tests.integration.tiny_stack import MODEL
from tests.machine import PATIENCE_SECONDS

BASE = f"{MODEL}@1"
ASK: list[Any] = [{"role": "user", "content": "What is 17 + 26?"}]
ANSWER = {"role": "assistant", "content": "43"}
CHAT = {"messages": [*ASK, ANSWER]}
PAIR = {
    "input": {"messages": ASK, "tools": [], "parallel_tool_calls": True},
    "preferred_output": [ANSWER],
    "non_preferred_output": [{"role": "assistant", "content": "The answer is 42."}],
}
pytestmark = [pytest.mark.ray, pytest.mark.asyncio(loop_scope="package"), pytest.mark.timeout(300)]


async def _file(real: Real, *rows: Any, name: str = "rows.jsonl") -> Any:
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    return await real.client.files.create(file=(name, lines.encode()), purpose="fine-tune")


async def _until(real: Real, job_id: str, *states: str) -> Any:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (job := await real.client.fine_tuning.jobs.retrieve(job_id)).status not in states:
            assert job.status in ("validating_files", "queued", "running", "paused"), job.error
            await asyncio.sleep(0.1)
    return job


async def test_a_job_is_paused_goes_on_and_its_model_answers_at_once(real: Real) -> None:
    file = await _file(real, *[CHAT] * 8, name="sums.jsonl")
    assert (file.filename, file.purpose, file.status) == ("sums.jsonl", "fine-tune", "processed")
    way = {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 40, "batch_size": "auto"}}}
    held_out = await _file(real, CHAT)
    job = await real.client.fine_tuning.jobs.create(
        model=BASE, training_file=file.id, validation_file=held_out.id, method=way, suffix="Sums", seed=7
    )
    assert job.validation_file == held_out.id
    assert (job.object, job.model, job.training_file, job.seed) == ("fine_tuning.job", BASE, file.id, 7)
    assert (job.fine_tuned_model, job.trained_tokens, job.finished_at, job.result_files) == (None, None, None, [])
    await _until(real, job.id, "running")
    await real.client.fine_tuning.jobs.pause(job.id)
    await _until(real, job.id, "paused")
    assert (await real.client.fine_tuning.jobs.resume(job.id)).status in ("queued", "validating_files", "running")
    ended = await _until(real, job.id, "succeeded")
    assert (ended.fine_tuned_model, ended.user_provided_suffix) == (f"{MODEL}-sums@1", "sums")
    assert ended.method.supervised.hyperparameters.model_dump() == {
        "n_epochs": 40,
        "batch_size": 4,
        "learning_rate_multiplier": 1.0,
    }
    assert ended.trained_tokens > 80 and ended.finished_at >= ended.created_at and ended.error is None
    told = await real.client.chat.completions.create(
        model=ended.fine_tuned_model, messages=ASK, temperature=0, max_tokens=4
    )
    assert told.choices[0].message.content.startswith("43")


@pytest.mark.in_order
async def test_events_checkpoints_and_results_tell_of_every_step(real: Real) -> None:
    job = (await real.client.fine_tuning.jobs.list(limit=1)).data[0]
    events = [event async for event in real.client.fine_tuning.jobs.list_events(job.id, limit=100)]
    sequences = [int(event.id.rpartition("-")[2]) for event in events]
    assert sequences == list(range(len(events), 0, -1))
    assert "The job is paused." in {event.message for event in events}
    losses = {event.data["step"]: event.data["train_loss"] for event in events if "train_loss" in (event.data or {})}
    assert sorted(losses) == list(range(1, 81)) and losses[80] < losses[1]
    checkpoints = [item async for item in real.client.fine_tuning.jobs.checkpoints.list(job.id, limit=1)]
    assert checkpoints[0].step_number == 80
    assert checkpoints[0].fine_tuned_model_checkpoint == job.fine_tuned_model
    assert checkpoints[0].metrics.train_loss == pytest.approx(losses[80])
    # The row held out is one of the trained ones, whose loss was measured before the last step.
    assert checkpoints[0].metrics.valid_loss == pytest.approx(losses[80], abs=0.05)
    assert all(item.fine_tuned_model_checkpoint is None for item in checkpoints[1:])
    results = (await real.client.files.content(job.result_files[0])).text.splitlines()
    assert results[0].startswith("step,") and len(results) == 81
    assert (await real.client.files.retrieve(job.result_files[0])).purpose == "fine-tune-results"


async def test_preferences_and_graded_answers_train_too(real: Real) -> None:
    case = next(iter(get_profile("openai_tools").draw(1, 1)))
    prompt = get_profile("openai_tools").messages(case, "bare")
    pairs, cases = (
        await _file(real, *[PAIR] * 2),
        await _file(real, {"messages": prompt, "case": case_to_document(case), "profile_id": "openai_tools"}),
    )
    preferences = {"type": "dpo", "dpo": {"hyperparameters": {"beta": 0.2, "learning_rate_multiplier": 0.05}}}
    grader = {"type": "profile", "weights": {"conforming": 1, "format": 0.5}}
    graded = {"compute_multiplier": 0.25}
    reinforcement = {"type": "reinforcement", "reinforcement": {"grader": grader, "hyperparameters": graded}}
    for file, way in ((pairs, preferences), (cases, reinforcement)):
        job = await real.client.fine_tuning.jobs.create(
            model=BASE, training_file=file.id, method=way, suffix=way["type"]
        )
        ended = await _until(real, job.id, "succeeded")
        assert (ended.method.type, ended.fine_tuned_model) == (way["type"], f"{MODEL}-{way['type']}@1")
    file = await _file(real, CHAT)
    job = await real.client.fine_tuning.jobs.create(model=BASE, training_file=file.id, method=preferences)
    failed = await _until(real, job.id, "failed")
    assert (failed.error.code, failed.error.param) == ("invalid_training_file", "training_file")
    assert "rejected" in failed.error.message
    assert ended.method.reinforcement.grader.weights == {"conforming": 1.0, "format": 0.5}


@pytest.mark.timeout(900)
async def test_the_command_of_helm_test_takes_a_model_through_a_whole_loop(real: Real) -> None:
    stack = real.stack
    addresses = {
        "registry_address": stack.registry.address,
        "test_runner_address": stack.runner.address,
        "evaluator_address": real.evaluator.address,
        "trainer_address": real.trainer.address,
    }
    with start_service("feedback", stack.data_dir, **addresses) as feedback:
        settings = {**addresses, "feedback_address": feedback.address, "data_dir": str(stack.data_dir)}
        variables = {f"SMOKE_{name.upper()}": value for name, value in settings.items()}
        command = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "services.smoke"),
            env=os.environ | variables,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        printed, _ = await command.communicate()
    said = printed.decode()
    assert command.returncode == 0, said
    assert {"round 0: train finished", "round 1: evaluate finished"} <= set(said.splitlines()), said
