"""Runs of cases that take several answers, played through the simulated client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from services.chassis.errors import DeadlineExceeded
from services.chassis.jobs import JobState
from services.protocols.cases import Case
from services.protocols.profile import get_profile
from services.protocols.session import Session
from services.test_runner.domain.endpoint import Departure
from services.test_runner.domain.generation import TokenLogProb
from services.test_runner.domain.test_run import Environment
from services.test_runner.domain.transcript import FinishReason, ToolCall
from services.test_runner.ports.generation import Answer, BackendFaultError, Prompt
from tests.unit import run_specs as specs
from tests.unit.test_runner.bench import SPEC, Bench, FakeBackend

XML = get_profile("roo_xml")
CASES = tuple(case for case in XML.draw(3, 60) if case.max_turns > 1 and len(case.solution) > 1)[:6]
MIXED = (*CASES[:3], *XML.draw(1, 4, categories=("single_call",)))


def solving(cases: tuple[Case, ...], wrong: str = "") -> Callable[[Prompt], Answer]:
    """Answer each case as its solution says, turn by turn; a case whose id is `wrong` is answered with chatter."""
    by_key = {f"{case.case_id}#{repeat}": case for case in cases for repeat in range(3)}

    def answer(prompt: Prompt) -> Answer:
        case = by_key[prompt.key]
        turn = sum(message.role == "assistant" for message in prompt.messages) - len(case.history)
        text = case.solution[turn].text if case.solution else XML.reference_answer(case)
        ids = (turn, len(prompt.messages), prompt.seed % 1000)
        return Answer(prompt.key, "Hm." if case.case_id == wrong else text, FinishReason.STOP, ids, 30, 20, 0.1, 0.2)

    return answer


async def played(bench: Bench, **spec: object) -> tuple[str, JobState]:
    run = await bench.usecases.create("r", replace(SPEC, **spec))  # type: ignore[arg-type]
    return run.job.job_id, (await bench.work(run.job.job_id)).state


async def test_each_case_is_played_until_its_client_stops() -> None:
    bench = Bench(FakeBackend(answer=solving(CASES)), cases=CASES)
    run_id, state = await played(bench)
    stored = await bench.transcripts(run_id)
    assert state is JobState.SUCCEEDED
    assert [item.case_id for item in stored] == [case.case_id for case in CASES]
    assert {item.stop for item in stored} == {"completed"}
    assert [len(item.turns) for item in stored] == [len(case.solution) for case in CASES]


async def test_a_transcript_is_the_conversation_that_the_client_had() -> None:
    bench = Bench(FakeBackend(answer=solving(CASES)), cases=CASES)
    run_id, _ = await played(bench)
    for case, item in zip(CASES, await bench.transcripts(run_id), strict=True):
        session = Session(XML, case, "compact")
        for answer in case.solution:
            session.answer(answer)
        assert [message.to_chat() for message in item.messages] == session.messages
        assert [message.content for message in item.answers] == [answer.text for answer in case.solution]
        assert item.token_ids == tuple(token for turn in item.turns for token in turn.token_ids)
        assert item.turns[-1].message_index == len(item.messages) - 1


async def test_open_sessions_of_a_window_are_asked_together_round_by_round() -> None:
    bench = Bench(FakeBackend(answer=solving(MIXED)), cases=MIXED)
    await played(bench)
    asked = [[prompt.key for prompt in workload.prompts] for workload in bench.backend.workloads]
    first = [f"{case.case_id}#0" for case in MIXED[:4]]
    longest = max(len(case.solution) or 1 for case in MIXED[:4])
    assert asked[0] == first
    assert all(set(later) < set(first) for later in asked[1:longest])
    assert asked[longest] == [f"{case.case_id}#0" for case in MIXED[4:]]


async def test_each_turn_has_a_seed_of_its_own_and_one_conversation() -> None:
    bench = Bench(FakeBackend(answer=solving(CASES)), cases=CASES[:1])
    await played(bench, sampling=specs.sampling(temperature=1.0), seed=4)
    prompts = [workload.prompts[0] for workload in bench.backend.workloads]
    assert len({prompt.seed for prompt in prompts}) == len(prompts) > 1
    assert {prompt.conversation for prompt in prompts} == {f"{CASES[0].case_id}#0"}


async def test_chatter_is_steered_until_the_client_gives_up() -> None:
    bench = Bench(FakeBackend(answer=solving(CASES, CASES[0].case_id)), cases=CASES[:1])
    run_id, _ = await played(bench)
    (item,) = await bench.transcripts(run_id)
    assert item.stop in ("mistake_limit", "turn_budget")
    assert len(item.turns) > 1
    assert item.messages[-1].content == "Hm."


def breaks(call: int) -> Callable[[int, int], None]:
    def before(this: int, place: int) -> None:
        if (this, place) == (call, 1):
            raise BackendFaultError("The generation worker was killed.")

    return before


async def test_a_window_that_breaks_in_its_second_round_is_redone_from_its_start() -> None:
    whole = Bench(FakeBackend(answer=solving(CASES)), cases=CASES)
    reference, _ = await played(whole)
    bench = Bench(FakeBackend(before=breaks(2), answer=solving(CASES)), cases=CASES)
    run_id, state = await played(bench)
    asked = [workload.prompts for workload in bench.backend.workloads]
    assert state is JobState.SUCCEEDED
    assert asked[2] == asked[0]
    assert [replace(item, test_run_id="") for item in await bench.transcripts(run_id)] == [
        replace(item, test_run_id="") for item in await whole.transcripts(reference)
    ]


async def test_a_fault_ends_its_case_and_keeps_what_was_said() -> None:
    solve = solving(CASES)

    def answer(prompt: Prompt) -> Answer:
        if len(prompt.messages) > 2 and prompt.key.startswith(CASES[0].case_id):
            return Answer(prompt.key, "", FinishReason.CONTEXT_OVERFLOW, num_prompt_tokens=5000, detail="Too long.")
        return solve(prompt)

    bench = Bench(FakeBackend(answer=answer), cases=CASES[:2])
    run_id, state = await played(bench)
    first, second = await bench.transcripts(run_id)
    assert state is JobState.SUCCEEDED
    assert (first.finish_reason, first.stop, first.num_prompt_tokens) == (FinishReason.CONTEXT_OVERFLOW, "", 5000)
    assert [turn.finish_reason for turn in first.turns] == [FinishReason.STOP, FinishReason.CONTEXT_OVERFLOW]
    assert first.turns[1].detail == "Too long." and first.messages[first.turns[1].message_index].content == ""
    assert second.stop == "completed"


async def test_native_calls_of_an_endpoint_are_answered_by_tool_messages() -> None:
    native = get_profile("roo_native")
    cases = tuple(case for case in native.draw(3, 40) if len(case.solution) > 1)[:2]
    turns: dict[str, int] = {}

    def answer(prompt: Prompt) -> Answer:
        case = next(case for case in cases if prompt.key == f"{case.case_id}#0")
        turn = turns[prompt.key] = turns.get(prompt.key, -1) + 1
        calls = tuple(ToolCall("drawn-by-server", call.name, call.arguments) for call in case.solution[turn].calls)
        return Answer(prompt.key, "", FinishReason.STOP, (), 30, 0, 0.1, 0.1, num_generated_tokens=9, calls=calls)

    bench = Bench(FakeBackend(answer=answer), cases=cases)
    bench.registry.profile_id = "roo_native"
    run_id, _ = await played(bench, prompt_size="full")
    first, _ = await bench.transcripts(run_id)
    assert first.stop == "completed"
    assert first.messages[first.turns[0].message_index].tool_calls[0].tool_call_id == "c00000000"
    assert first.messages[first.turns[0].message_index + 1].role == "tool"
    assert bench.backend.workloads[0].prompts[0].tools[0]["type"] == "function"
    assert first.num_generated_tokens == 9 * len(first.turns)


async def test_an_answer_that_the_real_client_cannot_read_is_the_servers_fault() -> None:
    native, plain = get_profile("roo_native"), get_profile("openai_tools")
    for profile, size, expected in ((native, "full", FinishReason.BACKEND_FAULT), (plain, "bare", FinishReason.STOP)):

        def answer(prompt: Prompt) -> Answer:
            calls = (ToolCall("", "read_file", "{}"), ToolCall("", "read_file", "{}"))
            departures = (Departure.SHARED_INDEX,)
            return Answer(prompt.key, "", FinishReason.STOP, calls=calls, departures=departures)

        bench = Bench(FakeBackend(answer=answer), cases=profile.suites()[0].cases[:1])
        bench.registry.profile_id = profile.id
        run_id, _ = await played(bench, prompt_size=size)
        (item,) = await bench.transcripts(run_id)
        assert item.turns[0].finish_reason is expected
        assert ("several calls under one index" in item.turns[0].detail) is (expected is FinishReason.BACKEND_FAULT)


async def test_a_turn_that_the_template_refuses_costs_its_case_and_no_other() -> None:
    solve = solving(CASES[:2])

    def answer(prompt: Prompt) -> Answer:
        if prompt.key == f"{CASES[0].case_id}#0" and prompt.messages[-2].role == "assistant":
            return Answer(prompt.key, "", FinishReason.TEMPLATE_FAULT, detail="The chat template refuses it.")
        return solve(prompt)

    bench = Bench(FakeBackend(answer=answer), cases=CASES[:2])
    run_id, state = await played(bench)
    first, second = await bench.transcripts(run_id)
    assert (state, second.stop) == (JobState.SUCCEEDED, "completed")
    assert [turn.finish_reason for turn in first.turns] == [FinishReason.STOP, FinishReason.TEMPLATE_FAULT]
    assert first.turns[1].detail == "The chat template refuses it."


async def test_without_windows_a_free_place_is_taken_at_once_and_every_case_is_stored() -> None:
    bench = Bench(FakeBackend(answer=solving(MIXED)), cases=MIXED)
    run_id, state = await played(bench, throughput=True, num_repeats=3)
    stored = await bench.transcripts(run_id)
    assert state is JobState.SUCCEEDED
    assert len(bench.backend.workloads[0].prompts) == 16
    assert [item.sequence for item in stored] == list(range(1, 22))
    assert {(item.case_id, item.repeat) for item in stored} == {(c.case_id, r) for c in MIXED for r in range(3)}


async def test_without_windows_a_run_goes_on_with_the_cases_that_are_not_stored() -> None:
    first = Bench(FakeBackend(answer=solving(MIXED), blocks_call=2), cases=MIXED)
    run = await first.usecases.create("r", replace(SPEC, throughput=True, num_repeats=2))
    await first.runner.start()
    await first.backend.reached.wait()
    await first.runner.stop(1.0)
    done = {(item.case_id, item.repeat) for item in await first.transcripts(run.job.job_id)}
    assert 0 < len(done) < 14

    second = first.restart(FakeBackend(answer=solving(MIXED)))
    job = await second.work(run.job.job_id)
    asked = {prompt.key for workload in second.backend.workloads for prompt in workload.prompts}
    assert job.state is JobState.SUCCEEDED
    assert not asked & {f"{case_id}#{repeat}" for case_id, repeat in done}
    assert len(await second.transcripts(run.job.job_id)) == 14


async def test_log_probs_are_kept_when_they_are_asked_for() -> None:
    def answer(prompt: Prompt) -> Answer:
        tokens = (TokenLogProb("a", 1, -0.5), TokenLogProb("b", 2, -0.25))
        return Answer(prompt.key, "ab", FinishReason.STOP, (1, 2), tokens=tokens)

    for wanted, kept in ((True, (-0.5, -0.25)), (False, ())):
        bench = Bench(FakeBackend(answer=answer), cases=MIXED[-1:])
        run_id, _ = await played(bench, log_probs=wanted)
        (item,) = await bench.transcripts(run_id)
        assert item.turns[0].log_probs == kept
        assert bench.backend.workloads[0].log_probs is wanted


async def test_a_case_whose_time_is_over_is_asked_no_more() -> None:
    solve = solving(CASES)
    backend = FakeBackend(answer=lambda prompt: replace(solve(prompt), decode_seconds=3.0))
    bench = Bench(backend, cases=CASES[:1])
    run_id, state = await played(bench, case_timeout_seconds=2.5)
    (item,) = await bench.transcripts(run_id)
    assert state is JobState.SUCCEEDED
    assert item.finish_reason is FinishReason.BACKEND_FAULT
    assert item.turns[-1].detail == "The case took longer than 2.5 s."


async def test_a_run_whose_time_is_over_fails_and_keeps_its_windows() -> None:
    bench = Bench(FakeBackend(blocks_call=2))
    run = await bench.usecases.create("r", replace(SPEC, run_timeout_seconds=3))
    job = await bench.work(run.job.job_id)
    assert job.state is JobState.FAILED
    assert job.error is not None and job.error.code == DeadlineExceeded.code
    assert len(await bench.transcripts(run.job.job_id)) == 4


async def test_cases_of_a_hanging_worker_are_faults_when_the_time_of_all_is_over() -> None:
    bench = Bench(FakeBackend(blocks_call=1), cases=MIXED[-2:])
    run_id, state = await played(bench, case_timeout_seconds=0.1)
    stored = await bench.transcripts(run_id)
    assert state is JobState.SUCCEEDED
    assert [item.finish_reason for item in stored] == [FinishReason.STOP, FinishReason.BACKEND_FAULT]
    assert len(bench.backend.workloads) == 1


async def test_a_wait_for_the_model_takes_no_time_from_the_cases() -> None:
    def wait(_call: int, place: int) -> None:
        if place < 0:
            loop = asyncio.get_running_loop()
            loop.time = lambda clock=loop.time: clock() + 5.0  # type: ignore[method-assign]

    bench = Bench(FakeBackend(before=wait), cases=MIXED[-1:])
    run_id, state = await played(bench, case_timeout_seconds=4.0)
    assert state is JobState.SUCCEEDED
    assert [item.finish_reason for item in await bench.transcripts(run_id)] == [FinishReason.STOP]


@pytest.mark.parametrize("throughput", [False, True])
async def test_a_pause_takes_effect_after_the_window_and_a_resumed_run_ends_the_same(throughput: bool) -> None:
    cases = tuple(XML.draw(1, 40, categories=("single_call",)))
    bench = Bench(FakeBackend(answer=solving(cases)), cases=cases)
    run = await bench.usecases.create("r", replace(SPEC, throughput=throughput))
    run_id = run.job.job_id
    bench.backend.on_prepared = lambda: bench.usecases.resource.pause(run_id)
    await bench.runner.start()
    while (await bench.jobs.get(run_id)).state is not JobState.PAUSED:
        with bench.jobs.bell.listen(f"events:{run_id}") as listener:
            await listener.wait(0.05)
    await bench.runner.stop(1.0)
    stored = len(await bench.transcripts(run_id))
    assert 0 < stored < 40
    assert (await bench.usecases.resource.resume(run_id)).job.state is JobState.QUEUED
    again = bench.restart(FakeBackend(answer=solving(cases)))
    assert (await again.work(run_id)).state is JobState.SUCCEEDED
    assert sorted(item.case_id for item in await again.transcripts(run_id)) == sorted(case.case_id for case in cases)


async def test_the_environment_of_the_first_window_is_kept() -> None:
    bench = Bench(FakeBackend(environment=Environment("float32", 2, endpoint={"server": "vLLM"})))
    run_id, _ = await played(bench)
    record = await bench.store.get_run(run_id)
    assert record is not None and record.environment.endpoint == {"server": "vLLM"}
