"""The job of a test run: windows, retries, restarts, cancellation."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from services.chassis.errors import AlreadyExists, ResourceExhausted
from services.chassis.jobs import JobState
from services.chassis.wire import from_document, to_document
from services.test_runner.domain.test_run import Environment, TestRunSpec
from services.test_runner.domain.transcript import FinishReason
from services.test_runner.ports.generation import Answer, BackendFaultError, Prompt
from tests.unit import run_specs as specs
from tests.unit.outages import break_often
from tests.unit.test_runner.bench import CASES, SPEC, Bench, FakeBackend, answer_to


def break_at(*places: tuple[int, int]) -> FakeBackend:
    """Return a backend that breaks in these (call, place) pairs, counted from 1 and 0; place -1 is the loading."""

    def before(call: int, place: int) -> None:
        if (call, place) in places:
            raise BackendFaultError("The generation worker was killed.")

    return FakeBackend(before)


async def test_every_case_gets_one_transcript_in_the_suites_order() -> None:
    bench = Bench(FakeBackend())
    run = await bench.usecases.create("r", SPEC)
    job = await bench.work(run.job.job_id)
    stored = await bench.transcripts(run.job.job_id)
    assert job.state is JobState.SUCCEEDED
    assert job.result == {"num_transcripts": 10, "num_generated_tokens": 30}
    assert [item.case_id for item in stored] == [case.case_id for case in CASES]
    assert [len(workload.prompts) for workload in bench.backend.workloads] == [4, 4, 2]
    assert stored[0].messages[0].role == "system"
    assert stored[0].messages[-1].role == "assistant" and stored[0].messages[-1].content.startswith(
        f"answer {CASES[0].case_id}#0 "
    )


async def test_a_run_whose_database_is_away_now_and_then_stores_each_transcript_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench(FakeBackend())
    break_often(monkeypatch)
    run = await bench.usecases.create("r", replace(SPEC, run_timeout_seconds=600.0))
    job = await bench.work(run.job.job_id)
    assert (job.state, job.attempt) == (JobState.SUCCEEDED, 1)
    stored = await bench.transcripts(run.job.job_id)
    assert [item.case_id for item in stored] == [case.case_id for case in CASES]
    assert len(bench.backend.workloads) == 3


async def test_repeats_are_answered_with_seeds_of_their_own() -> None:
    bench = Bench(FakeBackend())
    run = await bench.usecases.create(
        "r", replace(SPEC, num_repeats=2, sampling=specs.sampling(temperature=1.0), seed=5)
    )
    await bench.work(run.job.job_id)
    stored = await bench.transcripts(run.job.job_id)
    seeds = [prompt.seed for workload in bench.backend.workloads for prompt in workload.prompts]
    assert [(item.case_id, item.repeat) for item in stored] == [
        (case.case_id, repeat) for repeat in (0, 1) for case in CASES
    ]
    assert len(set(seeds)) == 20


async def test_the_seeds_of_answers_follow_from_the_seed_of_the_run() -> None:
    seeds = []
    for seed in (5, 5, 6):
        bench = Bench(FakeBackend())
        run = await bench.usecases.create("r", replace(SPEC, seed=seed))
        await bench.work(run.job.job_id)
        seeds.append([prompt.seed for workload in bench.backend.workloads for prompt in workload.prompts])
    assert seeds[0] == seeds[1]
    assert not set(seeds[0]) & set(seeds[2])


async def test_the_first_window_fixes_what_generates_the_others() -> None:
    bench = Bench(FakeBackend(environment=Environment("float32", 7)))
    run = await bench.usecases.create("r", SPEC)
    await bench.work(run.job.job_id)
    asked = [(workload.dtype, workload.num_threads) for workload in bench.backend.workloads]
    assert asked == [("", 0), ("float32", 7), ("float32", 7)]


async def test_a_window_that_breaks_is_run_again() -> None:
    bench = Bench(break_at((2, 3)))
    run = await bench.usecases.create("r", SPEC)
    with capture_logs() as records:
        job = await bench.work(run.job.job_id)
    stored = await bench.transcripts(run.job.job_id)
    assert job.state is JobState.SUCCEEDED
    assert {item.finish_reason for item in stored} == {FinishReason.STOP}
    assert [workload.prompts for workload in bench.backend.workloads][1:3] == [bench.backend.workloads[1].prompts] * 2
    assert await bench.texts(run.job.job_id) == ["The generation worker was killed. The window is run again."]
    # A fault may quote what a library said, and that may quote a prompt.
    (record,) = [record for record in records if record["event"] == "window_failed"]
    assert [name for name, value in record.items() if "killed" in str(value)] == ["fault_words"]


@pytest.mark.parametrize("error", [BackendFaultError("It was killed."), ResourceExhausted("It is too long.")])
async def test_a_case_that_breaks_the_backend_costs_itself_and_no_other(error: Exception) -> None:
    poison = CASES[5].case_id

    def answer(prompt: Prompt) -> Answer:
        if prompt.key.startswith(poison):
            raise error
        return answer_to(prompt)

    bench = Bench(FakeBackend(answer=answer))
    run = await bench.usecases.create("r", SPEC)
    job = await bench.work(run.job.job_id)
    stored = await bench.transcripts(run.job.job_id)
    assert job.state is JobState.SUCCEEDED
    faults = [item for item in stored if item.finish_reason is FinishReason.BACKEND_FAULT]
    assert [item.case_id for item in faults] == [poison]
    assert (faults[0].messages[-1].content, faults[0].turns[-1].detail) == ("", str(error))
    assert {item.case_id for item in stored} == {case.case_id for case in CASES}
    assert (await bench.texts(run.job.job_id))[-1] == f"{error} Left out as a fault of the backend: {poison}#0."


async def test_a_backend_that_always_breaks_is_not_asked_for_ever() -> None:
    def answer(prompt: Prompt) -> Answer:
        raise BackendFaultError("It was killed.")

    bench = Bench(FakeBackend(answer=answer))
    run = await bench.usecases.create("r", replace(SPEC, num_repeats=7))
    await bench.work(run.job.job_id)
    assert len(await bench.transcripts(run.job.job_id)) == 70
    assert len(bench.backend.workloads) <= 2 * 18 + 64


async def test_a_model_that_never_loads_fails_the_run() -> None:
    bench = Bench(break_at((1, -1), (2, -1)))
    run = await bench.usecases.create("r", SPEC)
    job = await bench.work(run.job.job_id)
    assert job.state is JobState.FAILED
    assert job.error is not None and "cannot be loaded" in job.error.problem
    assert await bench.transcripts(run.job.job_id) == []


async def test_a_refusal_of_the_backend_fails_the_run_at_once() -> None:
    def before(call: int, place: int) -> None:
        raise ResourceExhausted("The model needs 9 GB.", "Use a smaller model.")

    bench = Bench(FakeBackend(before))
    run = await bench.usecases.create("r", SPEC)
    job = await bench.work(run.job.job_id)
    assert job.state is JobState.FAILED
    assert job.error is not None and job.error.code == "RESOURCE_EXHAUSTED"
    assert len(bench.backend.workloads) == 1


async def test_a_run_whose_process_died_goes_on_with_the_window_it_was_in() -> None:
    whole = Bench(FakeBackend())
    reference = await whole.usecases.create("r", SPEC)
    await whole.work(reference.job.job_id)

    first = Bench(FakeBackend(blocks_call=2))
    run = await first.usecases.create("r", SPEC)
    await first.runner.start()
    await first.backend.reached.wait()
    await first.runner.stop(1.0)
    assert len(await first.transcripts(run.job.job_id)) == 4

    second = first.restart(FakeBackend())
    job = await second.work(run.job.job_id)
    assert (job.state, job.attempt) == (JobState.SUCCEEDED, 2)
    assert [len(workload.prompts) for workload in second.backend.workloads] == [4, 2]
    assert [replace(item, test_run_id="") for item in await second.transcripts(run.job.job_id)] == [
        replace(item, test_run_id="") for item in await whole.transcripts(reference.job.job_id)
    ]


async def test_a_run_whose_inputs_were_not_stored_resolves_them_when_it_starts() -> None:
    bench = Bench(FakeBackend())
    job = await bench.jobs.create("test_run", "r", to_document(SPEC), job_id="run-1")
    ended = await bench.work(job.job_id)
    assert ended.state is JobState.SUCCEEDED
    assert (await bench.usecases.resource.get("run-1")).spec.model_version_id == "tiny@1"


async def test_a_cancelled_run_stops_the_backend_and_keeps_its_windows() -> None:
    bench = Bench(FakeBackend(blocks_call=2))
    run = await bench.usecases.create("r", SPEC)
    working = asyncio.create_task(bench.work(run.job.job_id))
    await bench.backend.reached.wait()
    await bench.usecases.resource.cancel(run.job.job_id)
    job = await working
    assert job.state is JobState.CANCELLED
    assert bench.backend.num_closed == 2
    assert len(await bench.transcripts(run.job.job_id)) == 4


async def test_progress_tells_phase_counts_and_speed() -> None:
    bench = Bench(FakeBackend())
    run = await bench.usecases.create("r", SPEC)
    await bench.work(run.job.job_id)
    progress = (await bench.jobs.get(run.job.job_id)).progress
    assert (progress["phase"], progress["done"], progress["total"], progress["unit"]) == (
        "generate",
        10,
        10,
        "transcripts",
    )
    assert progress["eta_seconds"] == 0
    assert progress["num_active"] == 0


async def test_stored_answers_are_counted_for_the_operator() -> None:
    bench = Bench(break_at((1, 3), (2, 3), (3, 0)))
    run = await bench.usecases.create("r", SPEC)
    await bench.work(run.job.job_id)
    series = (await bench.telemetry.render()).decode()
    assert 'drillyard_test_runner_transcripts_total{finish_reason="stop"} 9.0' in series
    assert 'drillyard_test_runner_transcripts_total{finish_reason="backend_fault"} 1.0' in series
    assert "drillyard_test_runner_generated_tokens_total 27.0" in series
    assert "drillyard_test_runner_failed_windows_total 2.0" in series


HOT = specs.sampling(temperature=1.0)
ENDPOINT = specs.endpoint("http://127.0.0.1:1/v1", "m")
BY_ENDPOINT = replace(SPEC, model_version_id="", endpoint=ENDPOINT)


async def test_a_run_needs_no_weights_where_an_endpoint_answers() -> None:
    bench = Bench(FakeBackend(environment=Environment(endpoint={"server": "vLLM"})))
    run = await bench.usecases.create("r", BY_ENDPOINT)
    assert (await bench.work(run.job.job_id)).state is JobState.SUCCEEDED
    workload = bench.backend.workloads[0]
    assert (workload.base, workload.endpoint) == (None, ENDPOINT)
    record = await bench.store.get_run(run.job.job_id)
    assert record is not None and record.environment.endpoint == {"server": "vLLM"}


async def test_an_endpoint_that_was_never_there_fails_the_run() -> None:
    bench = Bench(break_at((1, -1), (2, -1)))
    run = await bench.usecases.create("r", BY_ENDPOINT)
    job = await bench.work(run.job.job_id)
    assert job.state is JobState.FAILED
    assert job.error is not None and "endpoint cannot be asked" in job.error.problem


async def test_an_endpoint_that_goes_away_later_costs_its_cases_not_the_run() -> None:
    bench = Bench(break_at((2, -1), (3, -1), (4, -1), (5, -1)))
    run = await bench.usecases.create("r", BY_ENDPOINT)
    job = await bench.work(run.job.job_id)
    stored = await bench.transcripts(run.job.job_id)
    assert job.state is JobState.SUCCEEDED
    assert [item.finish_reason for item in stored] == [FinishReason.STOP] * 4 + [FinishReason.BACKEND_FAULT] * 6
    assert stored[-1].turns[0].detail == "The generation worker was killed."


def test_a_spec_is_stored_by_what_is_not_the_default() -> None:
    whole = replace(
        BY_ENDPOINT, throughput=True, log_probs=True, run_timeout_seconds=9.0, repeat_of_test_run_id="run-1"
    )
    assert from_document(TestRunSpec, json.loads(json.dumps(to_document(whole)))) == whole
    assert to_document(SPEC) == {"model_version_id": "tiny", "test_suite_version_id": "roo_xml/core"}
    assert to_document(replace(SPEC, sampling=HOT)) == {**to_document(SPEC), "sampling": {"temperature": 1.0}}


# What releases stored that wrote defaults out and knew no other fields.
OLD_SAMPLING = {"temperature": 0.0, "top_p": 1.0, "top_k": 0, "max_new_tokens": 192}
OLD_DOCUMENT = {
    "model_version_id": "tiny",
    "test_suite_version_id": "roo_xml/core",
    "prompt_size": "compact",
    "sampling": OLD_SAMPLING,
    "num_repeats": 1,
    "seed": 0,
    "dtype": "",
}
OLD_ENDPOINT = {
    "base_url": "http://127.0.0.1:1/v1",
    "model": "m",
    "api_key_secret": "",
    "tool_mode": "profile",
    "num_ctx": 0,
    "stop": [],
    "extra_body": "",
    "max_concurrency": 4,
}


@pytest.mark.parametrize(
    ("document", "spec"),
    [(OLD_DOCUMENT, SPEC), ({**OLD_DOCUMENT, "model_version_id": "", "endpoint": OLD_ENDPOINT}, BY_ENDPOINT)],
)
async def test_a_request_finds_the_run_that_an_older_release_stored_for_it(
    document: dict[str, Any], spec: TestRunSpec
) -> None:
    bench = Bench(FakeBackend())
    await bench.jobs.create("test_run", "r", document, job_id="run-1")
    assert (await bench.usecases.resource.get("run-1")).spec == spec
    assert (await bench.usecases.create("r", spec)).job.job_id == "run-1"
    with pytest.raises(AlreadyExists, match="seed"):
        await bench.usecases.create("r", replace(spec, seed=1))
