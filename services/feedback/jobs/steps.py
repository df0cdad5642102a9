"""The steps of a round: test a version, probe it, build a dataset from what failed, and train on that."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial

from services.chassis.errors import FailedPrecondition
from services.chassis.waiting import patiently
from services.feedback.datasets.builder import DatasetOrder, build, probe_cases
from services.feedback.datasets.plan import sentence
from services.feedback.domain.rounds import Rates, Step
from services.feedback.domain.rules import round_seed
from services.feedback.domain.work import Registration, TestOrder, TrainingOrder, WorkProgress
from services.feedback.jobs.record import LoopRecord
from services.feedback.jobs.waiting import uninterrupted, until_ended
from services.feedback.ports import Artifacts, Evaluator, Exports, Registry, TestRunner, Trainer
from services.protocols.profile import get_profile
from services.protocols.suites import suite_text
from services.protocols.verdict import UNANSWERED

_JSONL = "application/jsonl"
# A machine that fails at the same cases for the third time has to be mended by someone.
_MAX_FINISHES = 2


@dataclass(frozen=True)
class Services:
    """The other services, as this one sees them."""

    registry: Registry
    test_runner: TestRunner
    evaluator: Evaluator
    trainer: Trainer
    exports: Exports


class RoundSteps:
    """Carries out the steps of the round that a record is at, going on from what the record holds."""

    def __init__(self, services: Services, artifacts: Artifacts, record: LoopRecord) -> None:
        self._services = services
        self._artifacts = artifacts
        self._record = record

    async def export(self) -> None:
        """Write the round's version in the form that the goals are set on, where they are set on one."""
        record, exports = self._record, self._services.exports
        if not record.spec.goal_form or record.round.form_model_version_id:
            return
        export_id = record.round.export_id or await uninterrupted(self._start_export())
        message = f"{record.round.model_version_id} as {record.spec.shipped_as}: export {export_id}"
        await record.started(Step.EXPORT, message, export_id=export_id)
        await until_ended(exports, export_id, "export", partial(record.report, Step.EXPORT))
        form = await exports.form(export_id)
        await record.finished(Step.EXPORT, f"The form is {form}.", export_id=export_id, model_version_id=form)
        await record.update(form_model_version_id=form)

    async def test(self) -> None:
        """Test the round's version on the suite, in the form that the goals are set on, and record its rates."""
        record = self._record
        await self._judge(record.inputs.suite.test_suite_version_id)
        evaluation_id = record.round.evaluation_id
        rates = await self._services.evaluator.rates(evaluation_id)
        await record.finished(Step.EVALUATE, _rates_sentence(rates), evaluation_id=evaluation_id)
        await record.update(rates=rates)

    async def probe(self) -> None:
        """Find out what the version fails at, on a seeded sample of the material that its suite is made of."""
        record = self._record
        suite_id = record.round.probe_test_suite_version_id or await uninterrupted(self._register_probe())
        await self._judge(suite_id, "probe_")
        evaluation_id = record.round.probe_evaluation_id
        verdicts = await self._services.evaluator.verdicts(evaluation_id)
        num_failed = sum(1 for verdict in verdicts if verdict.cause)
        message = f"{num_failed} of {len(verdicts)} probe cases fail."
        await record.finished(Step.PROBE_EVALUATE, message, evaluation_id=evaluation_id)

    async def build_dataset(self) -> None:
        """Build and register the dataset that treats what the probe found."""
        record = self._record
        await record.started(Step.DATASET, f"Treating what evaluation {record.round.probe_evaluation_id} found.")
        await record.report(Step.DATASET, WorkProgress(message="choosing examples"))
        message = "The dataset is registered."
        if not record.round.dataset_version_id:
            order = DatasetOrder(
                prompt_size=record.spec.prompt_size,
                seed=round_seed(record.spec.seed, record.round.number),
                num_examples=record.spec.num_examples,
                verdicts=await self._services.evaluator.verdicts(record.round.probe_evaluation_id),
                suite_cases=await self._services.registry.list_cases(record.inputs.suite.test_suite_version_id),
            )
            dataset = await asyncio.to_thread(build, get_profile(record.inputs.suite.profile_id), order)
            await uninterrupted(self._register_dataset(dataset.content))
            message = sentence(dataset.shares)
        await record.finished(Step.DATASET, message, dataset_version_id=record.round.dataset_version_id)

    async def train(self) -> str:
        """Train the round's version on its dataset, and return the id of the new version."""
        record, trainer = self._record, self._services.trainer
        job_id = record.round.training_job_id or await uninterrupted(self._start_training())
        message = f"{record.round.model_version_id} on {record.round.dataset_version_id}: training job {job_id}"
        await record.started(Step.TRAIN, message, training_job_id=job_id)
        await until_ended(trainer, job_id, "training job", partial(record.report, Step.TRAIN))
        trained = await trainer.trained_version(job_id)
        await record.finished(Step.TRAIN, f"Trained {trained}.", training_job_id=job_id, model_version_id=trained)
        return trained

    async def _judge(self, suite_id: str, prefix: str = "") -> None:
        """Have a suite answered and evaluate the run; the caller tells that the evaluation has ended.

        Args:
            suite_id: What is answered.
            prefix: Of the fields that keep the ids: none for the suite of the loop, or "probe_", which asks the weights
                that are trained on.
        """
        record, services = self._record, self._services
        test, evaluate = (Step.PROBE, Step.PROBE_EVALUATE) if prefix else (Step.TEST, Step.EVALUATE)
        version_id = record.round.model_version_id if prefix else record.round.tested_model_version_id
        is_complete = False
        while not is_complete:
            run_id = getattr(record.round, f"{prefix}test_run_id") or await uninterrupted(
                self._start_run(test, version_id, suite_id, prefix)
            )
            message = f"{version_id} on {suite_id}: test run {run_id}"
            await record.started(test, message, test_run_id=run_id)
            evaluation_id = getattr(record.round, f"{prefix}evaluation_id") or await uninterrupted(
                self._start_evaluation(evaluate, run_id, prefix, number=record.round.num_finishes.get(test, 0))
            )
            await record.started(evaluate, f"evaluation {evaluation_id}", evaluation_id=evaluation_id)
            await until_ended(services.test_runner, run_id, "test run", partial(record.report, test))
            is_complete = not await services.test_runner.is_incomplete(run_id)
            if not is_complete:
                await uninterrupted(self._finish_run(test, run_id, prefix))
        await record.finished(test, f"Test run {run_id} has ended.", test_run_id=run_id)
        await until_ended(services.evaluator, evaluation_id, "evaluation", partial(record.report, evaluate))

    async def _start_export(self) -> str:
        record = self._record
        own = {"model_version_id": record.round.model_version_id, "profile_id": record.inputs.suite.profile_id}
        export_id = await self._services.exports.start(record.request_id(Step.EXPORT), {**record.spec.goal_form, **own})
        await record.update(export_id=export_id)
        return export_id

    async def _start_run(self, step: Step, model_version_id: str, suite_id: str, prefix: str) -> str:
        spec = self._record.spec
        order = TestOrder(
            model_version_id=model_version_id,
            test_suite_version_id=suite_id,
            prompt_size=spec.prompt_size,
            max_new_tokens=spec.max_new_tokens,
            seed=spec.seed,
        )
        run_id = await self._services.test_runner.start(self._record.request_id(step), order)
        await self._record.update(**{f"{prefix}test_run_id": run_id})
        return run_id

    async def _finish_run(self, step: Step, run_id: str, prefix: str) -> None:
        """Have the cases asked that a run did not answer; what is judged then is the run that has all answers.

        Raises:
            FailedPrecondition: They were asked again often enough.
        """
        record = self._record
        number = record.round.num_finishes.get(step, 0) + 1
        if number > _MAX_FINISHES:
            raise FailedPrecondition(
                f"The test run {run_id} has too few answers to decide on, though what was missing was asked again "
                f"{_MAX_FINISHES} times.",
                f"Mend what `drillyard test-runs transcripts {run_id} --cause {UNANSWERED}` names, then start another "
                f"loop from {record.round.model_version_id}.",
            )
        finishing_id = await self._services.test_runner.finish(record.request_id(f"{step}-finish-{number}"), run_id)
        changes = {f"{prefix}test_run_id": finishing_id, f"{prefix}evaluation_id": ""}
        await record.update(**changes, num_finishes={**record.round.num_finishes, step: number})

    async def _start_evaluation(self, step: Step, run_id: str, prefix: str, *, number: int) -> str:
        name = f"{step}-finish-{number}" if number else str(step)
        evaluation_id = await self._services.evaluator.start(self._record.request_id(name), run_id)
        await self._record.update(**{f"{prefix}evaluation_id": evaluation_id})
        return evaluation_id

    async def _register_probe(self) -> str:
        record, registry = self._record, self._services.registry
        suite = record.inputs.suite
        cases = await asyncio.to_thread(
            probe_cases,
            get_profile(suite.profile_id),
            await registry.list_cases(suite.test_suite_version_id),
            seed=round_seed(record.spec.seed, record.round.number),
            count=record.spec.num_probe_cases,
        )
        registration = await self._stored(f"{suite.profile_id}/probe", suite_text(cases).encode("utf-8"))
        suite_id = await registry.register_suite(record.request_id("probe_suite"), registration)
        await record.update(probe_test_suite_version_id=suite_id)
        return suite_id

    async def _register_dataset(self, content: bytes) -> None:
        record = self._record
        registration = await self._stored(f"{record.inputs.suite.profile_id}/{record.loop_id}", content)
        dataset_id = await self._services.registry.register_dataset(record.request_id("dataset"), registration)
        await record.update(dataset_version_id=dataset_id)

    async def _stored(self, name: str, content: bytes) -> Registration:
        artifact = await patiently(lambda: self._artifacts.put_bytes(content, _JSONL), "the artifact store")
        return Registration(name, artifact, f"loop:{self._record.loop_id}")

    async def _start_training(self) -> str:
        record = self._record
        order = TrainingOrder(
            model_version_id=record.round.model_version_id,
            dataset_version_id=record.round.dataset_version_id,
            seed=round_seed(record.spec.seed, record.round.number),
            settings=record.spec.training,
        )
        job_id = await self._services.trainer.start(record.request_id(Step.TRAIN), order)
        await record.update(training_job_id=job_id)
        return job_id


def _rates_sentence(rates: Rates) -> str:
    return (
        f"{rates.conforming_rate:.1%} conform, {rates.accepted_rate:.1%} are accepted, "
        f"{rates.well_formed_rate:.1%} are well formed."
    )
