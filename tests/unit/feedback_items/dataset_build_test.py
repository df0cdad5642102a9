"""Datasets from what people say: each row names its reason and item, and no kill registers one twice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services.chassis.errors import FailedPrecondition, InvalidArgument, Unavailable
from services.chassis.jobs import JobContext, JobRunner, JobState, Json
from services.chassis.wire import from_document
from services.feedback.domain.dataset_build import (
    DATASET_BUILD_KIND,
    DatasetBuild,
    DatasetBuildSpec,
    Rollouts,
    build_of,
)
from services.feedback.domain.item import ItemFilter
from services.feedback.domain.item_spec import Preference
from services.feedback.domain.work import Registration, SuiteVersion
from services.feedback.jobs.items.dataset_build import DatasetBuildJob
from services.feedback.store.jobs import JobBuildStore
from services.feedback.usecases.dataset_builds import BuildUseCases
from services.protocols.cases import Case
from services.protocols.suites.dataset_row import DatasetRow
from tests.unit.chassis.jobs.memory_store import MemoryJobStore
from tests.unit.feedback_items.world import (
    PROFILE,
    SUITE,
    SUITE_ID,
    FakeWorld,
    ItemBench,
    bench_in,
    chat,
    said,
    spec_of,
    thumbs,
)


class FakeRegistry:
    """Registers each dataset once per request id; `chats` are the rows of every dataset that is read."""

    def __init__(self) -> None:
        self.chats: list[str] = []
        self.datasets: dict[str, Registration] = {}
        self.requests: dict[str, str] = {}

    async def list_test_suites(self) -> tuple[str, ...]:
        return (SUITE_ID,)

    async def list_cases(self, test_suite_version_id: str) -> tuple[Case, ...]:
        return tuple(SUITE.cases)

    async def register_dataset(self, request_id: str, registration: Registration) -> str:
        if request_id not in self.requests:
            version_id = f"{registration.name}@{len(self.datasets) + 1}"
            self.requests[request_id], self.datasets[version_id] = version_id, registration
        assert self.datasets[self.requests[request_id]] == registration
        return self.requests[request_id]

    async def resolve_suite(self, test_suite_version_id: str) -> SuiteVersion:
        return SuiteVersion(test_suite_version_id, "roo_xml")

    async def resolve_dataset(self, dataset_version_id: str) -> str:
        return f"{dataset_version_id}@1"

    async def dataset_rows(self, dataset_version_id: str) -> AsyncIterator[str]:
        for row in self.chats:
            yield row


class FakeRollouts:
    """One evaluation of the built-in suite, each of whose cases was asked as often as `num_repeats` says."""

    def __init__(self) -> None:
        self.num_repeats = 2
        self.num_outages = 0
        self.by_case: dict[str, list[str]] = {}

    async def rollouts(self, evaluation_id: str) -> Rollouts:
        if self.num_outages:
            self.num_outages -= 1
            raise Unavailable("The evaluator is away.", "Try again.")
        return Rollouts(evaluation_id, "roo_xml", SUITE_ID, PROFILE.prompt_sizes[0], self.num_repeats, True)

    async def causes(self, evaluation_id: str) -> dict[str, list[str]]:
        return self.by_case


class BuildBench:
    """A build's job over a bench of items."""

    def __init__(self, items: ItemBench) -> None:
        self.items, self.jobs, self.registry, self.rollouts = items, MemoryJobStore(), FakeRegistry(), FakeRollouts()
        self.job = DatasetBuildJob(items.store, self.registry, items.artifacts, self.rollouts)
        self.usecases = BuildUseCases(JobBuildStore(self.jobs), self.registry, self.rollouts)

    async def built(self, **spec: Any) -> DatasetBuild:
        asked = from_document(DatasetBuildSpec, {"dataset_id": "mine", "profile_id": "roo_xml", **spec})
        build = await JobBuildStore(self.jobs).create("", asked)
        runner = JobRunner(self.jobs, owner="bench", is_only_owner=True)
        runner.register(DATASET_BUILD_KIND, self.job.run)
        await runner.start()
        try:
            while not (job := await self.jobs.get(build.dataset_build_id)).state.is_final:
                await asyncio.sleep(0.01)
        finally:
            await runner.stop(5.0)
        return build_of(job)

    async def rows(self, version_id: str) -> list[DatasetRow]:
        content = await self.items.artifacts.read_bytes(self.registry.datasets[version_id].artifact.uri)
        rows = [DatasetRow.from_json(json.loads(line)) for line in content.splitlines()]
        for row in rows:
            row.check()
        return rows


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[BuildBench]:
    async for items in bench_in(tmp_path):
        yield BuildBench(items)


async def test_corrections_become_rows_that_name_reason_and_item(bench: BuildBench) -> None:
    usecases = bench.items.usecases
    item = await bench.items.corrected("run-1")
    await bench.items.corrected("run-1", author="bob")
    withdrawn = await bench.items.corrected("run-2")
    await usecases.withdraw(withdrawn.feedback_item_id, "")
    await usecases.create("", spec_of("run-3", correction=(said("I shall."),)))
    await usecases.create("", spec_of("run-4", rating=thumbs(-1)))
    build = await bench.built()
    assert build.state.dataset_version_id == "mine@1"
    (row,) = await bench.rows("mine@1")
    assert row.messages[-1]["content"] == bench.items.world.right("run-1")
    assert row.messages[-2]["content"] and row.messages[0]["role"] == "system"
    assert (row.reason, row.cause, row.profile_id, row.split) == ("correction", "no_call", "roo_xml", "train")
    assert build.state.num_left_out == {"nothing_to_learn": 1, "does_not_conform": 1, "duplicate": 1}
    assert any("never trained" in sentence for sentence in build.state.sentences)
    used = await bench.items.store.list(ItemFilter(), 99, 99)
    assert {each.feedback_item_id for each in used if each.dataset_version_ids == ("mine@1",)} == {row.feedback_item_id}
    assert item.subject.transcript_id == "run-1"


async def test_a_name_that_no_dataset_can_have_is_refused_before_a_build_begins(bench: BuildBench) -> None:
    spec = from_document(DatasetBuildSpec, {"dataset_id": "Mine!", "profile_id": "roo_xml"})
    with pytest.raises(InvalidArgument, match=r"spec.dataset_id 'Mine!' is not an id.*such as"):
        await bench.usecases.create("", spec)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"form": "GRPO"}, "Prompts are made from evaluations"),
        ({"evaluation_ids": ["eval-1"]}, "Prompts are made from evaluations"),
        ({"form": "GRPO", "evaluation_ids": ["eval-1"], "tag": "odd"}, "of no tag, author or model"),
        ({"form": "GRPO", "evaluation_ids": ["eval-1"], "profile_id": ""}, "is of the protocol 'roo_xml', not ''"),
        ({"chat_share": 0.5}, "needs both a dataset and a share"),
        ({"chat_share": 0.5, "chat_dataset_version_id": "chat", "form": "DPO"}, "to answers alone"),
    ],
)
async def test_a_recipe_that_makes_no_such_rows_is_refused(
    bench: BuildBench, changes: dict[str, Any], problem: str
) -> None:
    spec = from_document(DatasetBuildSpec, {"dataset_id": "mine", "profile_id": "roo_xml", **changes})
    with pytest.raises(InvalidArgument, match=problem):
        await bench.usecases.create("", spec)


async def test_prompts_are_cases_whose_answers_differ(bench: BuildBench) -> None:
    mixed, right, wrong, single = [case.case_id for case in SUITE.cases][:4]
    # The evaluator is away when the build begins.
    bench.rollouts.num_outages = 1
    bench.rollouts.by_case = {mixed: ["", "no_call", "no_call"], right: ["", ""], wrong: ["no_call"] * 2, single: [""]}
    recipe = {"form": "GRPO", "evaluation_ids": ["eval-1"]}
    build = await bench.built(**recipe, material_test_suite_version_ids=[SUITE_ID])
    assert build.state.num_left_out == {"same_outcome": 3}
    assert build.state.sentences[0] == "4 cases make 1 rows: 1 by mixed rollouts."
    (row,) = await bench.rows("mine@1")
    assert row.case is not None and row.case["case_id"] == mixed
    assert (row.reason, row.cause, row.messages[-1]["role"]) == ("mixed_rollouts", "no_call", "assistant")
    near = await bench.built(**recipe)
    assert near.state.num_left_out == {} and near.job.error is not None
    assert "1 cases are near to a case of a suite that tests" in near.job.error.problem
    bench.rollouts.num_repeats = 1
    spec = from_document(DatasetBuildSpec, {"dataset_id": "mine", "profile_id": "roo_xml", **recipe})
    with pytest.raises(FailedPrecondition, match="asks each case once"):
        await bench.usecases.create("", spec)


async def test_general_chat_is_added_by_its_share_and_never_a_case_or_a_near_copy(bench: BuildBench) -> None:
    await bench.items.corrected("run-1")
    await bench.items.corrected("run-2")
    talk = [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hello."}]
    test = [{"role": "user", "content": SUITE.cases[0].task}, talk[1]]
    rows = [{"messages": talk, "case": {}}, {"messages": test}, {"messages": talk, "reason": "other"}]
    bench.registry.chats = [json.dumps({"example_id": str(number), **row}) for number, row in enumerate(rows)]
    build = await bench.built(chat_dataset_version_id="chat@1", chat_share=2.0)
    assert build.state.num_rows == {"correction": 2, "chat_replay": 1}
    assert [row.messages for row in await bench.rows("mine@1") if row.reason == "chat_replay"] == [tuple(talk)]


async def test_a_conversation_too_long_for_a_row_is_left_out_and_the_others_are_built(bench: BuildBench) -> None:
    for text in ("Good.", "Good. " * 200_000):
        conversation = replace(chat(), messages=(chat().messages[0], said(text)))
        await bench.items.usecases.create("", spec_of("", chat=conversation, rating=thumbs(1)))
    build = await bench.built(profile_id="")
    assert (build.state.num_rows, build.state.num_left_out) == ({"rated_good": 1}, {"too_long": 1})


async def test_a_conversation_in_other_words_becomes_a_row_that_can_be_registered(bench: BuildBench) -> None:
    brief = {"role": "developer", "content": "Be brief."}
    conversation = replace(chat(), messages=(brief, *chat().messages))
    await bench.items.usecases.create("", spec_of("", chat=conversation, rating=thumbs(1)))
    await bench.built(profile_id="")
    (row,) = await bench.rows("mine@1")
    assert DatasetRow.from_json(row.to_json()).messages[0] == {**brief, "role": "system"}


async def test_pairs_set_the_failure_against_what_is_right_and_contradictions_are_left_out(bench: BuildBench) -> None:
    usecases, world = bench.items.usecases, bench.items.world
    await bench.items.corrected("run-1")
    await usecases.create("", spec_of("run-2", rating=thumbs(-1)))
    own = f"Here it is.\n{world.right('run-5')}\nThat is all."
    world.answers["run-5"] = (said(own),)
    await usecases.create("", spec_of("run-5", rating=thumbs(-1)))
    right = said(world.right("run-3"))
    await usecases.create("", spec_of("run-3", preference=Preference(chosen=right)))
    both = said(world.right("run-4"))
    await usecases.create("", spec_of("run-4", preference=Preference(chosen=both)))
    await usecases.create("", spec_of("run-4", preference=Preference(rejected=both), author="bob"))
    build = await bench.built(form="DPO")
    rows = {row.reason: row for row in await bench.rows("mine@1")}
    assert set(rows) == {"correction", "reference", "preference", "healed"}
    failures = {reason: row.rejected["content"] for reason, row in rows.items() if row.rejected}
    assert failures.pop("healed") == own and set(failures.values()) == {"I would read it."}
    assert rows["reference"].messages[-1]["content"] == world.right("run-2")
    # What was said before the call may stay, what stood behind it may not.
    assert rows["healed"].messages[-1]["content"] == f"Here it is.\n{world.right('run-5')}"
    # Of the two that contradict each other, one proposes what does not conform besides.
    assert build.state.num_left_out == {"contradicted": 1, "does_not_conform": 1}


async def test_no_row_is_near_to_a_suite_that_tests_unless_it_is_named_as_material(tmp_path: Path) -> None:
    cases = [case for case in SUITE.cases if case.tool == "read_file"][:2]
    async for items in bench_in(tmp_path, FakeWorld(cases, SUITE_ID)):
        bench = BuildBench(items)
        await items.corrected("run-1")
        refused = await bench.built()
        assert refused.job.state is JobState.FAILED and refused.job.error is not None
        assert "near to a case of a suite that tests" in refused.job.error.problem
        allowed = await bench.built(material_test_suite_version_ids=[SUITE_ID])
        assert allowed.state.num_rows == {"correction": 1}


async def test_replay_is_of_tools_that_no_row_teaches_and_validation_has_cases_of_its_own(bench: BuildBench) -> None:
    for number in range(1, 7):
        await bench.items.corrected(f"run-{number}")
    await bench.built(replay_share=2.0, validation_share=0.5, seed=3)
    rows = await bench.rows("mine@1")
    taught = {row.tool for row in rows if row.reason == "correction"}
    replayed = [row for row in rows if row.reason == "replay"]
    assert len(replayed) >= 6 and taught.isdisjoint(row.tool for row in replayed if row.category == "single_call")
    tasks = {
        split: {row.case["task"] for row in rows if row.case and row.split == split}
        for split in ("train", "validation")
    }
    assert tasks["train"].isdisjoint(tasks["validation"]) and {row.split for row in replayed} == {"train"}
    assert {row.tool for row in rows} <= set(PROFILE.tools) | {""}


async def test_a_dataset_of_validation_rows_alone_is_refused(bench: BuildBench) -> None:
    problems = []
    for number in range(1, 7):
        await bench.items.corrected(f"run-{number}", author=f"author-{number}")
        build = await bench.built(author=f"author-{number}", validation_share=0.5)
        problems.append(build.job.error.problem if build.job.error else "")
    assert set(problems) == {"", "All 1 rows are for validation, so nothing would be trained."}
    assert len(bench.registry.datasets) == problems.count("")


@pytest.mark.parametrize("num_recorded", [0, 1, 2])
async def test_a_build_that_is_killed_before_it_records_a_step_registers_one_version(
    bench: BuildBench, num_recorded: int
) -> None:
    await bench.items.corrected("run-1")
    asked = from_document(DatasetBuildSpec, {"dataset_id": "mine", "profile_id": "roo_xml"})
    build = await JobBuildStore(bench.jobs).create("", asked)
    killed = asyncio.Event()

    async def run(context: JobContext) -> Json:
        records, record = iter(range(num_recorded)), context.checkpoint

        async def checkpoint(state: Json) -> None:
            if next(records, None) is None:
                killed.set()
                await asyncio.Event().wait()
            await record(state)

        context.checkpoint = checkpoint  # type: ignore[method-assign]
        result = await bench.job.run(context)
        # Of three steps the last records nothing but the end of the job.
        killed.set()
        await asyncio.Event().wait()
        return result

    for is_last, attempt in enumerate((run, bench.job.run)):
        runner = JobRunner(bench.jobs, owner="bench", is_only_owner=True)
        runner.register(DATASET_BUILD_KIND, attempt)
        await runner.start()
        while is_last and not (await bench.jobs.get(build.dataset_build_id)).state.is_final:
            await asyncio.sleep(0.01)
        await killed.wait()
        await runner.stop(1.0)
    job = await bench.jobs.get(build.dataset_build_id)
    assert build_of(job).state.dataset_version_id == "mine@1" and list(bench.registry.datasets) == ["mine@1"]
    (item,) = await bench.items.store.list(ItemFilter(), 99, 9)
    assert item.dataset_version_ids == ("mine@1",)
