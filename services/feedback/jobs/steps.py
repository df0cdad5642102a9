"""The steps of a round that measure: test a version, and probe it for what it fails at."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from services.chassis.artifacts import ArtifactStore
from services.chassis.waiting import patiently
from services.feedback.datasets.builder import probe_cases
from services.feedback.domain.goals import RATES, readings_of
from services.feedback.domain.rounds import Rates, Step
from services.feedback.domain.rules import round_seed
from services.feedback.domain.work import ProbeVerdict, Registration, TestOrder
from services.feedback.jobs.record import LoopRecord
from services.feedback.jobs.trials import RunIds, Trial, Trials
from services.feedback.jobs.waiting import uninterrupted, until_ended
from services.feedback.ports.neighbours import Evaluator, Exports, Registry, TestRunner, Trainer
from services.protocols.profile import get_profile
from services.protocols.suites.suite import suite_text

_JSONL = "application/jsonl"
_DRAWN_TEMPERATURE = 1.0


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

    def __init__(self, services: Services, artifacts: ArtifactStore, record: LoopRecord) -> None:
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
        record, spec = self._record, self._record.spec
        suite_id = record.inputs.suite.test_suite_version_id
        repeats = {"num_repeats": spec.num_repeats, "temperature": spec.temperature}
        order = self._order(record.round.tested_model_version_id, suite_id, **repeats)
        evaluation_id = await self._judge(order, Step.TEST, Step.EVALUATE)
        readings = await self._services.evaluator.readings(evaluation_id)
        rates = Rates(*(readings[name, ""].value for name in RATES))
        await record.finished(Step.EVALUATE, _rates_sentence(rates), evaluation_id=evaluation_id)
        await record.update(rates=rates, readings=readings_of(spec.goals, readings))

    async def probe(self) -> tuple[ProbeVerdict, ...]:
        """Return what the version fails at, on a seeded sample of the material that its suite is made of."""
        record = self._record
        suite_id = record.round.probe_test_suite_version_id or await uninterrupted(self._register_probe())
        order = self._order(record.round.trained_model_version_id, suite_id)
        evaluation_id = await self._judge(order, Step.PROBE, Step.PROBE_EVALUATE, "probe_")
        verdicts = await self._services.evaluator.verdicts(evaluation_id)
        num_failed = sum(bool(verdict.cause) for verdict in verdicts if not verdict.is_unknown)
        message = f"{num_failed} of {len(verdicts)} probe cases fail."
        await record.finished(Step.PROBE_EVALUATE, message, evaluation_id=evaluation_id)
        await record.update(num_probe_failures=num_failed)
        return verdicts

    async def sample(self) -> tuple[ProbeVerdict, ...]:
        """Return the verdicts on several answers to each case of the probe, drawn at random."""
        record, spec = self._record, self._record.spec
        repeats = {"num_repeats": spec.num_rollouts, "temperature": _DRAWN_TEMPERATURE}
        order = self._order(record.round.trained_model_version_id, record.round.probe_test_suite_version_id, **repeats)
        evaluation_id = await self._judge(order, Step.SAMPLE, Step.SAMPLE_EVALUATE, "sample_")
        verdicts = await self._services.evaluator.verdicts(evaluation_id)
        message = f"{sum(not verdict.cause for verdict in verdicts)} of {len(verdicts)} drawn answers conform."
        await record.finished(Step.SAMPLE_EVALUATE, message, evaluation_id=evaluation_id)
        return verdicts

    async def _judge(self, order: TestOrder, test: Step, evaluate: Step, prefix: str = "") -> str:
        """Have a suite answered and judged whose ids are the round's fields that begin with `prefix`."""
        record = self._record

        async def keep(ids: Mapping[str, str], **fields: Any) -> None:
            await record.update(**{f"{prefix}{name}": value for name, value in ids.items()}, **fields)

        def ids() -> RunIds:
            return RunIds(*(getattr(record.round, f"{prefix}{name}") for name in ("test_run_id", "evaluation_id")))

        trials = Trials(self._services.test_runner, self._services.evaluator, record)
        return await trials.judge(Trial(order, test, evaluate, ids, keep))

    def _order(self, model_version_id: str, suite_id: str, **more: Any) -> TestOrder:
        spec = self._record.spec
        common = {"prompt_size": spec.prompt_size, "max_new_tokens": spec.max_new_tokens, "seed": spec.seed}
        return TestOrder(model_version_id, suite_id, **{**common, **more})

    async def _start_export(self) -> str:
        record = self._record
        own = {"model_version_id": record.round.model_version_id, "profile_id": record.inputs.suite.profile_id}
        export_id = await self._services.exports.start(record.request_id(Step.EXPORT), {**record.spec.goal_form, **own})
        await record.update(export_id=export_id)
        return export_id

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


async def stored_rows(artifacts: ArtifactStore, record: LoopRecord, name: str, content: bytes) -> Registration:
    """Store lines of JSON that a loop made, and return what registers them under a name."""
    artifact = await patiently(lambda: artifacts.put_bytes(content, _JSONL), "the artifact store")
    return Registration(name, artifact, f"loop:{record.loop_id}")


def _rates_sentence(rates: Rates) -> str:
    return (
        f"{rates.conforming_rate:.1%} conform, {rates.accepted_rate:.1%} are accepted, "
        f"{rates.well_formed_rate:.1%} are well formed."
    )
