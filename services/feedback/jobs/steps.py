"""The steps of a round that measure: test a version, and probe it for what it fails at."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial

from services.chassis.errors import FailedPrecondition
from services.chassis.waiting import patiently
from services.feedback.datasets.builder import probe_cases
from services.feedback.domain.rounds import Rates, Step
from services.feedback.domain.rules import round_seed
from services.feedback.domain.work import ProbeVerdict, Registration, TestOrder
from services.feedback.jobs.record import LoopRecord
from services.feedback.jobs.waiting import uninterrupted, until_ended
from services.feedback.ports import Artifacts, Evaluator, Exports, Registry, TestRunner, Trainer
from services.protocols.profile import get_profile
from services.protocols.suites import suite_text
from services.protocols.verdict import UNANSWERED

_JSONL = "application/jsonl"
# A machine that fails at the same cases for the third time has to be mended by someone.
_MAX_FINISHES = 2
_DRAWN_TEMPERATURE = 1.0
_JUDGING = {
    "": (Step.TEST, Step.EVALUATE),
    "probe_": (Step.PROBE, Step.PROBE_EVALUATE),
    "sample_": (Step.SAMPLE, Step.SAMPLE_EVALUATE),
}


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

    async def probe(self) -> tuple[ProbeVerdict, ...]:
        """Return what the version fails at, on a seeded sample of the material that its suite is made of."""
        record = self._record
        suite_id = record.round.probe_test_suite_version_id or await uninterrupted(self._register_probe())
        await self._judge(suite_id, "probe_")
        evaluation_id = record.round.probe_evaluation_id
        verdicts = await self._services.evaluator.verdicts(evaluation_id)
        message = f"{sum(bool(verdict.cause) for verdict in verdicts)} of {len(verdicts)} probe cases fail."
        await record.finished(Step.PROBE_EVALUATE, message, evaluation_id=evaluation_id)
        return verdicts

    async def sample(self) -> tuple[ProbeVerdict, ...]:
        """Return the verdicts on several answers to each case of the probe, drawn at random."""
        record = self._record
        await self._judge(record.round.probe_test_suite_version_id, "sample_")
        evaluation_id = record.round.sample_evaluation_id
        verdicts = await self._services.evaluator.verdicts(evaluation_id)
        message = f"{sum(not verdict.cause for verdict in verdicts)} of {len(verdicts)} drawn answers conform."
        await record.finished(Step.SAMPLE_EVALUATE, message, evaluation_id=evaluation_id)
        return verdicts

    async def _judge(self, suite_id: str, prefix: str = "") -> None:
        """Have a suite answered and evaluate the run; the caller tells that the evaluation has ended.

        Args:
            suite_id: What is answered.
            prefix: Of the fields that keep the ids: none for the suite of the loop; "probe_" and "sample_" ask the
                weights that are trained on, the latter several times at random.
        """
        record, services = self._record, self._services
        test, evaluate = _JUDGING[prefix]
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
            num_repeats=spec.num_rollouts if step is Step.SAMPLE else 1,
            temperature=_DRAWN_TEMPERATURE if step is Step.SAMPLE else 0.0,
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
        content = suite_text(cases).encode("utf-8")
        registration = await stored_rows(self._artifacts, record, f"{suite.profile_id}/probe", content)
        suite_id = await registry.register_suite(record.request_id("probe_suite"), registration)
        await record.update(probe_test_suite_version_id=suite_id)
        return suite_id


async def stored_rows(artifacts: Artifacts, record: LoopRecord, name: str, content: bytes) -> Registration:
    """Store lines of JSON that a loop made, and return what registers them under a name."""
    artifact = await patiently(lambda: artifacts.put_bytes(content, _JSONL), "the artifact store")
    return Registration(name, artifact, f"loop:{record.loop_id}")


def _rates_sentence(rates: Rates) -> str:
    return (
        f"{rates.conforming_rate:.1%} conform, {rates.accepted_rate:.1%} are accepted, "
        f"{rates.well_formed_rate:.1%} are well formed."
    )
