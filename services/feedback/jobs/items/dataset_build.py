"""The dataset build: write the rows of feedback items, register the dataset, and note which items it has."""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from random import Random
from typing import BinaryIO

from services.chassis.artifacts import Artifact, ArtifactStore
from services.chassis.errors import FailedPrecondition
from services.chassis.jobs import JobContext, Json
from services.chassis.waiting import patiently
from services.chassis.wire.paging import LAST_PLACE
from services.feedback.datasets.item_dataset import ItemDataset
from services.feedback.datasets.item_rows import that_teach
from services.feedback.domain.dataset_build import BuildState, DatasetBuildPhase, DatasetBuildSpec, build_of
from services.feedback.domain.item import ItemFilter
from services.feedback.domain.work import Registration
from services.feedback.jobs.waiting import uninterrupted
from services.feedback.ports.neighbours import Registry, RolloutSource
from services.feedback.ports.stores import ItemStore
from services.protocols.cases import Case
from services.protocols.profile import get_profile

_BATCH = 500
_JSONL = "application/jsonl"
_ITEM_ID = re.compile(rb'"feedback_item_id": ("(?:[^"\\]|\\.)*")')


class DatasetBuildJob:
    """Does jobs of kind "dataset_build".

    The file is recorded before it is registered, and the version before its items are marked, so a build that was
    killed anywhere registers one version.
    """

    def __init__(self, items: ItemStore, registry: Registry, files: ArtifactStore, rollouts: RolloutSource) -> None:
        self._items = items
        self._rollouts = rollouts
        self._registry = registry
        self._files = files

    async def run(self, context: JobContext) -> Json:
        """Build, register and mark.

        Raises:
            FailedPrecondition: No item becomes a row that is trained; the error says why.
        """
        build = build_of(context.job)
        state = BuildState.from_document(context.saved)
        if state.artifact is None:
            state = await self._build(context, build.spec)
            await context.checkpoint(state.to_document())
        artifact = Artifact(**(state.artifact or {}))
        if not state.dataset_version_id:
            registration = Registration(build.spec.dataset_id, artifact, f"dataset_build:{build.dataset_build_id}")
            version_id = await uninterrupted(
                self._registry.register_dataset(f"{build.dataset_build_id}/dataset", registration)
            )
            state = replace(state, dataset_version_id=version_id)
            await context.checkpoint(state.to_document())
        path = await self._files.local_path(artifact.uri)
        await self._items.mark_used(await asyncio.to_thread(_item_ids, path), state.dataset_version_id)
        await context.progress(message=state.sentences[0])
        return {"dataset_version_id": state.dataset_version_id}

    async def _build(self, context: JobContext, spec: DatasetBuildSpec) -> BuildState:
        await context.progress(phase=DatasetBuildPhase.READ_SUITES, message="rows must not be near to them")
        suites = await self._suites(spec)
        profile = get_profile(spec.profile_id) if spec.profile_id else None
        with self._files.draft() as folder, tempfile.NamedTemporaryFile(dir=folder) as file:
            dataset = await asyncio.to_thread(ItemDataset, spec, profile, suites, file.file)
            if spec.evaluation_ids:
                await self._read_rollouts(spec, dataset)
            else:
                await self._read_items(context, spec, dataset)
            count = round(spec.chat_share * dataset.num_rows.total())
            await asyncio.to_thread(dataset.replay)
            if count:
                await asyncio.to_thread(dataset.add_chat, await self._chats(spec, count))
            file.flush()
            state = BuildState(
                noun="cases" if spec.evaluation_ids else "items",
                num_items=dataset.num_items,
                num_rows=dict(dataset.num_rows),
                num_left_out=dict(dataset.num_left_out),
            )
            if not dataset.num_rows:
                raise _nothing(state)
            if not dataset.num_train_rows:
                raise FailedPrecondition(
                    f"All {sum(state.num_rows.values())} rows are for validation, so nothing would be trained.",
                    "Ask for a smaller share for validation, or for none, or build from answers to more cases.",
                )
            path = Path(file.name)
            artifact = await patiently(lambda: self._files.put_file(path, _JSONL), "the artifact store")
        return replace(state, artifact=asdict(artifact))

    async def _read_items(self, context: JobContext, spec: DatasetBuildSpec, dataset: ItemDataset) -> None:
        named = {name: getattr(spec, name) for name in ("profile_id", "model_version_id", "tag", "author")}
        everything = ItemFilter(**named, is_chat=not spec.profile_id)
        wanted = that_teach(everything, spec.form)
        total, before = await self._items.count(wanted), LAST_PLACE
        while not dataset.is_full and (batch := await self._items.list(wanted, before, _BATCH)):
            before = batch[-1].ordinal
            await asyncio.to_thread(dataset.add, batch)
            await context.progress(
                phase=DatasetBuildPhase.BUILD, done=dataset.num_items, total=total, unit="items", message=""
            )
        if not dataset.is_full:
            dataset.pass_over(await self._items.count(everything) - total)

    async def _read_rollouts(self, spec: DatasetBuildSpec, dataset: ItemDataset) -> None:
        for evaluation_id in spec.evaluation_ids:
            rollouts = await patiently(partial(self._rollouts.rollouts, evaluation_id), "another service")
            if spec.profile_id and rollouts.profile_id == spec.profile_id:
                cases = await self._registry.list_cases(rollouts.test_suite_version_id)
                causes = await self._rollouts.causes(evaluation_id)
                await asyncio.to_thread(dataset.add_rollouts, cases, causes, rollouts.prompt_size)

    async def _chats(self, spec: DatasetBuildSpec, count: int) -> list[str]:
        """Return so many conversations of a dataset, each as likely as the others."""
        chosen: list[str] = []
        random = Random(spec.seed)
        num_seen = 0
        async for document in self._registry.dataset_rows(spec.chat_dataset_version_id):
            row = json.loads(document)
            if "case" in row or "rejected" in row:
                continue
            num_seen += 1
            place = random.randrange(num_seen)
            if len(chosen) < count:
                chosen.append(document)
            elif place < count:
                chosen[place] = document
        return chosen

    async def _suites(self, spec: DatasetBuildSpec) -> list[tuple[str, tuple[Case, ...]]]:
        names = await self._registry.list_test_suites()
        material = set(spec.material_test_suite_version_ids)
        return [(name, await self._registry.list_cases(name)) for name in names if name not in material]


def _nothing(state: BuildState) -> FailedPrecondition:
    noun = "feedback items" if state.noun == "items" else state.noun
    if not state.num_items and state.noun != "items":
        return FailedPrecondition(
            "No case of those evaluations is of that protocol.",
            "Name the protocol of the run's suite, and evaluations of runs in it.",
        )
    if not state.num_items:
        return FailedPrecondition(
            "No feedback item is on answers of that protocol and model.",
            "Correct or rate answers first, or build without those filters.",
        )
    return FailedPrecondition(
        f"None of {state.num_items} {noun} becomes a row. {' '.join(state.sentences[1:])}",
        "Correct answers so that they conform, or build rows of the other form.",
    )


def _item_ids(path: Path) -> list[str]:
    with path.open("rb") as file:
        return list(dict.fromkeys(_ids(file)))


def _ids(lines: BinaryIO) -> Iterator[str]:
    for line in lines:
        # The item's id stands before the row's own texts.
        if result := _ITEM_ID.search(line):
            yield json.loads(result[1])
