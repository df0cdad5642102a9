"""A lesson: a version is probed, a dataset is built from what failed, and a new version is trained on it."""

from __future__ import annotations

import asyncio
from functools import partial

from services.feedback.datasets.builder import BuiltDataset, DatasetOrder, build, probe_cases
from services.feedback.datasets.plan import sentence
from services.feedback.domain.rounds import Step
from services.feedback.domain.rules import round_seed
from services.feedback.domain.work import Registration, TrainingOrder, WorkProgress
from services.feedback.jobs.journal import Journal
from services.feedback.jobs.trial import PROBE_TRIAL, Trial, TrialRunner
from services.feedback.jobs.waiting import uninterrupted, until_ended
from services.feedback.ports import Artifacts, Evaluator, Registry, Trainer
from services.protocols.profile import get_profile
from services.protocols.suites import suite_text

_JSONL = "application/jsonl"


class Probe:
    """Finds out what a version fails at, on a seeded sample of the material that its suite is made of."""

    def __init__(self, registry: Registry, artifacts: Artifacts, *, trials: TrialRunner, evaluator: Evaluator) -> None:
        self._registry = registry
        self._artifacts = artifacts
        self._trials = trials
        self._evaluator = evaluator

    async def run(self, journal: Journal) -> str:
        """Probe the round's version and return the id of the ended evaluation."""
        suite_id = journal.round.probe_test_suite_version_id or await uninterrupted(self._register(journal))
        trial = Trial(PROBE_TRIAL, journal.round.model_version_id, suite_id)
        evaluation_id = await self._trials.run(journal, trial)
        verdicts = await self._evaluator.verdicts(evaluation_id)
        num_failed = sum(1 for verdict in verdicts if verdict.cause)
        message = f"{num_failed} of {len(verdicts)} probe cases fail."
        await journal.finished(Step.PROBE_EVALUATE, message, evaluation_id=evaluation_id)
        return evaluation_id

    async def _register(self, journal: Journal) -> str:
        spec, suite = journal.spec, journal.inputs.suite
        cases = await asyncio.to_thread(
            probe_cases,
            get_profile(suite.profile_id),
            await self._registry.list_cases(suite.test_suite_version_id),
            seed=round_seed(spec.seed, journal.round.number),
            count=spec.num_probe_cases,
        )
        artifact = await self._artifacts.put_bytes(suite_text(cases).encode("utf-8"), _JSONL)
        registration = Registration(f"{suite.profile_id}/probe", artifact, f"loop:{journal.loop_id}")
        suite_id = await self._registry.register_suite(journal.request_id("probe_suite"), registration)
        await journal.record(probe_test_suite_version_id=suite_id)
        return suite_id


class Curriculum:
    """Builds and registers the dataset that treats what a probe found."""

    def __init__(self, registry: Registry, artifacts: Artifacts, evaluator: Evaluator) -> None:
        self._registry = registry
        self._artifacts = artifacts
        self._evaluator = evaluator

    async def run(self, journal: Journal, evaluation_id: str) -> str:
        """Return the id of the round's dataset version."""
        await journal.started(Step.DATASET, f"Treating what evaluation {evaluation_id} found.")
        await journal.report(Step.DATASET, WorkProgress(message="choosing examples"))
        dataset_id, message = journal.round.dataset_version_id, "The dataset is registered."
        if not dataset_id:
            built = await self._build(journal, evaluation_id)
            dataset_id, message = await uninterrupted(self._register(journal, built)), sentence(built.shares)
        await journal.finished(Step.DATASET, message, dataset_version_id=dataset_id)
        return dataset_id

    async def _build(self, journal: Journal, evaluation_id: str) -> BuiltDataset:
        spec, suite = journal.spec, journal.inputs.suite
        order = DatasetOrder(
            prompt_size=spec.prompt_size,
            seed=round_seed(spec.seed, journal.round.number),
            num_examples=spec.num_examples,
            verdicts=await self._evaluator.verdicts(evaluation_id),
            suite_cases=await self._registry.list_cases(suite.test_suite_version_id),
        )
        return await asyncio.to_thread(build, get_profile(suite.profile_id), order)

    async def _register(self, journal: Journal, built: BuiltDataset) -> str:
        artifact = await self._artifacts.put_bytes(built.content, _JSONL)
        name = f"{journal.inputs.suite.profile_id}/{journal.loop_id}"
        registration = Registration(name, artifact, f"loop:{journal.loop_id}")
        dataset_id = await self._registry.register_dataset(journal.request_id("dataset"), registration)
        await journal.record(dataset_version_id=dataset_id)
        return dataset_id


class Lesson:
    """Trains the round's version on its dataset."""

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer

    async def run(self, journal: Journal, dataset_id: str) -> str:
        """Train, and return the id of the new version."""
        job_id = journal.round.training_job_id or await uninterrupted(self._start(journal, dataset_id))
        source = journal.round.model_version_id
        await journal.started(Step.TRAIN, f"{source} on {dataset_id}: training job {job_id}", training_job_id=job_id)
        await until_ended(self._trainer, job_id, "training job", partial(journal.report, Step.TRAIN))
        trained = await self._trainer.trained_version(job_id)
        await journal.finished(Step.TRAIN, f"Trained {trained}.", training_job_id=job_id, model_version_id=trained)
        return trained

    async def _start(self, journal: Journal, dataset_id: str) -> str:
        order = TrainingOrder(
            model_version_id=journal.round.model_version_id,
            dataset_version_id=dataset_id,
            seed=round_seed(journal.spec.seed, journal.round.number),
            settings=journal.spec.training,
        )
        job_id = await self._trainer.start(journal.request_id(Step.TRAIN), order)
        await journal.record(training_job_id=job_id)
        return job_id
