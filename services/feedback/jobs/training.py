"""The steps of a round that teach: build the dataset that a decision asks for, and train on it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

from services.chassis.artifacts import ArtifactStore
from services.chassis.errors import FailedPrecondition
from services.feedback.datasets.builder import BuiltDataset, DatasetOrder, build
from services.feedback.datasets.pairs import build_pairs, pairs_of
from services.feedback.datasets.plan import sentence
from services.feedback.decisions.decision import DatasetRecipe, Decision, TrainingMethod
from services.feedback.decisions.evidence import rollouts_of
from services.feedback.domain.rounds import Round, Step, with_adapter_settings
from services.feedback.domain.rules import round_seed
from services.feedback.domain.spending import Cost
from services.feedback.domain.work import ProbeVerdict, TrainingOrder, WorkProgress
from services.feedback.jobs.record import LoopRecord
from services.feedback.jobs.steps import Services, stored_rows
from services.feedback.jobs.waiting import uninterrupted, until_ended
from services.protocols.profile import get_profile


class TrainingSteps:
    """Carries out what was decided for the round that a record is at, going on from what the record holds."""

    def __init__(self, services: Services, artifacts: ArtifactStore, record: LoopRecord) -> None:
        self._services = services
        self._artifacts = artifacts
        self._record = record

    async def build_dataset(self, decision: Decision) -> None:
        """Build and register the dataset that treats what the probe of the trained version found.

        Raises:
            FailedPrecondition: Pairs were asked for, and no failure makes one.
        """
        record = self._record
        await record.started(Step.DATASET, f"Treating what evaluation {record.round.probe_evaluation_id} found.")
        await record.report(Step.DATASET, WorkProgress(message="choosing examples"))
        message = "The dataset is registered."
        if not record.round.dataset_version_id:
            dataset = await self._built(decision)
            await uninterrupted(self._register_dataset(dataset.content))
            message = sentence(dataset.shares)
        await record.finished(Step.DATASET, message, dataset_version_id=record.round.dataset_version_id)

    async def train(self, decision: Decision) -> str:
        """Train the version that was decided on with the round's dataset, and return the id of the new version."""
        record, trainer = self._record, self._services.trainer
        job_id = record.round.training_job_id or await uninterrupted(self._start_training(decision))
        message = f"{decision.model_version_id} on {record.round.dataset_version_id}: training job {job_id}"
        await record.started(Step.TRAIN, message, training_job_id=job_id)
        state = await until_ended(trainer, job_id, "training job", partial(record.report, Step.TRAIN))
        num_drawn, num_trained = await trainer.num_drawn_tokens(job_id), await trainer.num_trained_tokens(job_id)
        cost = Cost(state.seconds, num_drawn, num_trained)
        await record.update(costs={**record.round.costs, str(Step.TRAIN): cost})
        trained = await trainer.trained_version(job_id)
        await record.finished(Step.TRAIN, f"Trained {trained}.", training_job_id=job_id, model_version_id=trained)
        return trained

    async def _built(self, decision: Decision) -> BuiltDataset:
        record, evaluator = self._record, self._services.evaluator
        recipe = decision.recipe or DatasetRecipe(record.spec.num_examples)
        order = DatasetOrder(
            prompt_size=record.spec.prompt_size,
            seed=round_seed(record.spec.seed, record.round.number),
            num_examples=recipe.num_examples,
            verdicts=await self._verdicts(decision),
            suite_cases=await self._services.registry.list_cases(record.inputs.suite.test_suite_version_id),
            replay_share=recipe.replay_share,
        )
        profile = get_profile(record.inputs.suite.profile_id)
        if decision.method is not TrainingMethod.DPO:
            return await asyncio.to_thread(build, profile, order)
        pairs = pairs_of([await evaluator.pairs(evaluation_id) for evaluation_id in probe_evaluations(record.round)])
        if not pairs:
            raise FailedPrecondition(
                f"No failure of {decision.model_version_id} in its probe makes a pair for DPO.",
                "Train by SFT, or ask for more answers to each probe case (num_rollouts).",
            )
        return await asyncio.to_thread(build_pairs, profile, order, pairs)

    async def _verdicts(self, decision: Decision) -> Sequence[ProbeVerdict]:
        """Return what the rows are chosen by: of tasks for GRPO, those whose answers differ."""
        evaluator, source = self._services.evaluator, self._record.round
        verdicts = await evaluator.verdicts(source.probe_evaluation_id)
        if decision.method is not TrainingMethod.GRPO or not source.sample_evaluation_id:
            return verdicts
        mixed = rollouts_of(await evaluator.verdicts(source.sample_evaluation_id), 0).mixed_case_ids
        return [verdict for verdict in verdicts if verdict.case_id in mixed] or verdicts

    async def _register_dataset(self, content: bytes) -> None:
        record = self._record
        name = f"{record.inputs.suite.profile_id}/{record.loop_id}"
        registration = await stored_rows(self._artifacts, record, name, content)
        dataset_id = await self._services.registry.register_dataset(record.request_id("dataset"), registration)
        await record.update(dataset_version_id=dataset_id)

    async def _start_training(self, decision: Decision) -> str:
        record = self._record
        training = with_adapter_settings(record.spec.training, record.rounds, decision.model_version_id)
        order = TrainingOrder(
            model_version_id=decision.model_version_id,
            dataset_version_id=record.round.dataset_version_id,
            seed=round_seed(record.spec.seed, record.round.number),
            settings=decision.settings(training),
        )
        job_id = await self._services.trainer.start(record.request_id(Step.TRAIN), order)
        await record.update(training_job_id=job_id)
        return job_id


def probe_evaluations(probed: Round) -> list[str]:
    """Return the evaluations of a round's probe, of one answer to each case and of several."""
    return [each for each in (probed.probe_evaluation_id, probed.sample_evaluation_id) if each]
