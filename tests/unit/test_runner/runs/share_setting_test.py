"""Replicas whose settings differ in what they share, and the words in which the setting was told before."""

from __future__ import annotations

import asyncio

import pytest

from services.chassis.jobs import JobState
from services.test_runner.settings import TestRunnerSettings
from tests.unit.test_runner.bench import Bench, FakeBackend
from tests.unit.test_runner.runs.shared_runs_test import CASES, answers, answers_of_one, at_work, ended, held_run, until


async def test_a_run_that_was_shared_is_ended_by_a_replica_that_shares_none() -> None:
    first, run_id = await held_run(asyncio.Event())
    second = first.restart(FakeBackend(), "second")
    third = Bench(FakeBackend(), jobs=first.jobs, store=first.store, cases=CASES, replica="third", shares="none")

    async def others_are_stored() -> bool:
        return len(await first.store.stored_cases(run_id)) == len(CASES) - 4

    async with at_work(first, second):
        await until(others_are_stored)
    async with at_work(third):
        assert (await ended(third, run_id)).state is JobState.SUCCEEDED
    assert answers(await third.transcripts(run_id)) == await answers_of_one()
    assert len(third.backend.workloads) == 1


@pytest.mark.parametrize(
    ("told", "means"), [("true", "weights"), ("1", "weights"), ("False", "none"), ("0", "none"), ("all", "all")]
)
def test_yes_and_no_are_still_taken_for_the_runs_to_share(
    monkeypatch: pytest.MonkeyPatch, told: str, means: str
) -> None:
    monkeypatch.setenv("TEST_RUNNER_SHARE_RUNS", told)
    assert TestRunnerSettings().share_runs == means
