"""What an attempt reads and saves where the processes have a disk of their own: all of it is artifacts."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from pathlib import Path

from services.chassis.artifacts import ArtifactStore
from services.chassis.artifacts.artifact import parse_uri
from services.chassis.waiting import patiently
from services.trainer.domain.attempt import Checkpoint
from services.trainer.domain.plan import AttemptPlan
from services.trainer.domain.preflight import SuiteFile

_STORE = "the artifact store"
_PATIENCE_SECONDS = 600.0


def fetched(plan: AttemptPlan) -> AttemptPlan:
    """Bring what a plan names here, and return the plan with the paths; one that names paths is returned as it is.

    Raises:
        NotFound: Something was deleted; FailedPrecondition: it is damaged.
        Unavailable: The store stayed away for ten minutes.
    """
    return asyncio.run(_fetched(plan)) if plan.artifacts_url else plan


def stored(plan: AttemptPlan, checkpoint: Checkpoint) -> Checkpoint:
    """Put a checkpoint into the store and read it back; return it with its place there.

    Where trainer and processes share a disk nothing happens.

    Raises:
        ServiceError: It cannot be kept.
    """
    return asyncio.run(_stored(plan, checkpoint)) if plan.artifacts_url else checkpoint


async def _fetched(plan: AttemptPlan) -> AttemptPlan:
    uris = (plan.base_folder, plan.adapter_folder, plan.dataset_file, plan.resume_from, plan.validation_file)
    store = _store(plan, *uris, *(suite.path for suite in plan.suites))

    async def place(uri: str) -> str:
        return str(await patiently(lambda: store.local_path(uri), _STORE, seconds=_PATIENCE_SECONDS)) if uri else ""

    base, adapter, dataset, resume_from, validation = [await place(uri) for uri in uris]
    suites = [SuiteFile(item.test_suite_version_id, await place(item.path), item.digest) for item in plan.suites]
    return replace(
        plan,
        base_folder=base,
        adapter_folder=adapter,
        dataset_file=dataset,
        resume_from=resume_from,
        suites=tuple(suites),
        validation_file=validation,
    )


async def _stored(plan: AttemptPlan, checkpoint: Checkpoint) -> Checkpoint:
    store = _store(plan)
    folder = Path(plan.checkpoint_folder) / Path(checkpoint.uri).name
    artifact = await patiently(partial(store.put_tree, folder, linked=True), _STORE, seconds=_PATIENCE_SECONDS)
    await patiently(lambda: store.verify(artifact.uri, artifact.digest), _STORE, seconds=_PATIENCE_SECONDS)
    return replace(checkpoint, uri=artifact.uri)


def _store(plan: AttemptPlan, *uris: str) -> ArtifactStore:
    sources = tuple({parse_uri(uri)[0] for uri in uris if uri})
    return ArtifactStore(plan.artifacts_url, sources=sources, cache_dir=Path(plan.scratch_folder) / "cache")
