"""Comparing two runs, and repeating one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from services.chassis.errors import FailedPrecondition, InvalidArgument, NotFound
from services.test_runner.domain.test_run import Environment
from services.test_runner.domain.transcript import FinishReason, ToolCall
from services.test_runner.ports.generation import Answer, Prompt
from tests.unit import run_specs as specs
from tests.unit.test_runner.bench import CASES, SPEC, Bench, FakeBackend, answer_to


async def finished(bench: Bench, name: str, **spec: Any) -> str:
    run = await bench.usecases.create(name, replace(SPEC, **spec))
    await bench.work(run.job.job_id)
    return run.job.job_id


def changed(place: str, **changes: Any) -> FakeBackend:
    """Return a backend whose answer to one case differs."""

    def answer(prompt: Prompt) -> Answer:
        given = answer_to(prompt)
        return replace(given, **changes) if prompt.key == place else given

    return FakeBackend(answer=answer)


async def test_two_runs_of_one_spec_are_identical() -> None:
    bench = Bench(FakeBackend())
    first, second = await finished(bench, "a"), await finished(bench, "b")
    found = await bench.comparisons.compare(first, second, 0)
    assert (found.is_identical, found.num_compared, found.num_identical, found.num_equal_answers) == (True, 10, 10, 10)
    assert found.differences == () and found.provenance_differences == ()


@pytest.mark.parametrize(
    ("field", "token_index", "num_equal", "changes"),
    [
        ("messages", 1, 9, {"text": "another", "token_ids": (1, 9, 3)}),
        ("token_ids", 2, 10, {"token_ids": (1, 2, 4)}),
        ("finish_reason", -1, 10, {"finish_reason": FinishReason.LENGTH}),
        ("messages", -1, 9, {"calls": (ToolCall("x", "read", "{}"),)}),
    ],
)
async def test_the_first_difference_of_a_case_is_named(
    field: str, token_index: int, num_equal: int, changes: dict[str, Any]
) -> None:
    bench = Bench(FakeBackend())
    first = await finished(bench, "a")
    other = bench.restart(changed(f"{CASES[4].case_id}#0", **changes))
    found = await other.comparisons.compare(first, await finished(other, "b"), 0)
    (difference,) = found.differences
    assert (difference.case_id, difference.field, difference.token_index) == (CASES[4].case_id, field, token_index)
    assert difference.before != difference.after
    assert (found.is_identical, found.num_identical, found.num_equal_answers) == (False, 9, num_equal)


async def test_transcripts_that_one_run_lacks_are_differences() -> None:
    bench = Bench(FakeBackend())
    first, second = await finished(bench, "a"), await finished(bench, "b", num_repeats=2)
    found = await bench.comparisons.compare(first, second, 3)
    assert not found.is_identical
    assert (found.num_compared, len(found.differences)) == (10, 3)
    assert {item.field for item in found.differences} == {"missing"}
    assert any("repeats" in sentence for sentence in found.provenance_differences)


async def test_what_the_runs_ran_with_is_told_when_it_differs() -> None:
    bench = Bench(FakeBackend())
    first = await finished(bench, "a")
    other = bench.restart(FakeBackend(environment=Environment("float32", 4, "sha256:t", {"torch": "3"})))
    found = await other.comparisons.compare(first, await finished(other, "b", seed=7), 0)
    told = " ".join(found.provenance_differences)
    assert all(word in told for word in ("number format", "threads", "version of torch", "seed"))


async def test_runs_of_two_suites_are_not_compared() -> None:
    bench = Bench(FakeBackend())
    first = await finished(bench, "a")
    bench.registry.suite_version_id = "roo_xml/other@1"
    with pytest.raises(FailedPrecondition, match="two suites"):
        await bench.comparisons.compare(first, await finished(bench, "b"), 0)
    with pytest.raises(NotFound):
        await bench.comparisons.compare(first, "run-0", 0)
    with pytest.raises(InvalidArgument):
        await bench.comparisons.compare(first, first, -1)


async def test_a_repeat_takes_over_what_it_does_not_say() -> None:
    bench = Bench(FakeBackend())
    chosen: dict[str, Any] = {
        "num_repeats": 2,
        "seed": 5,
        "sampling": specs.sampling(temperature=0.7, min_p=0.1),
        "log_probs": True,
    }
    first = await finished(bench, "a", **chosen)
    bench.registry.newest = "tiny@2"
    repeat = await bench.usecases.create("b", unset(repeat_of_test_run_id=first))
    assert repeat.spec == replace(
        SPEC,
        **chosen,
        model_version_id="tiny@1",
        test_suite_version_id="roo_xml/core@1",
        dtype="bfloat16",
        repeat_of_test_run_id=first,
    )
    assert repeat.record is not None and repeat.record.inputs.num_threads == 2
    await bench.work(repeat.job.job_id)
    assert bench.backend.workloads[-1].num_threads == 2
    assert (await bench.comparisons.compare(first, repeat.job.job_id, 0)).is_identical


async def test_a_repeat_by_an_endpoint_claims_no_weights() -> None:
    bench = Bench(FakeBackend())
    first = await finished(bench, "a")
    endpoint = specs.endpoint("http://127.0.0.1:1/v1", "m")
    repeat = await bench.usecases.create("b", unset(repeat_of_test_run_id=first, endpoint=endpoint))
    assert (repeat.spec.endpoint, repeat.spec.model_version_id) == (endpoint, "")


async def test_a_repeat_whose_inputs_are_gone_is_refused() -> None:
    bench = Bench(FakeBackend())
    first = await finished(bench, "a")
    bench.registry.digest = "sha256:other"
    with pytest.raises(FailedPrecondition, match="not there any more"):
        await bench.usecases.create("b", unset(repeat_of_test_run_id=first))
    bench.registry.digest, bench.registry.is_empty = "sha256:b", True
    with pytest.raises(FailedPrecondition, match="not there any more"):
        await bench.usecases.create("c", unset(repeat_of_test_run_id=first))
    with pytest.raises(NotFound, match="run-0"):
        await bench.usecases.create("d", unset(repeat_of_test_run_id="run-0"))


def unset(**values: Any) -> Any:
    """Return a spec of which nothing else is set."""
    sampling = specs.sampling(top_p=0.0, max_new_tokens=0)
    return replace(
        SPEC,
        **{
            "model_version_id": "",
            "test_suite_version_id": "",
            "prompt_size": "",
            "sampling": sampling,
            "num_repeats": 0,
            "case_timeout_seconds": 0.0,
            **values,
        },
    )
