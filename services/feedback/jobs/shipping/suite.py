"""The gate's longest step: the whole suite, asked of the form as it is served and of its version."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from services.chassis.errors import FailedPrecondition
from services.feedback.domain.shipment import GateResult, GateStep
from services.feedback.domain.work import CaseChange, CaseOfSuite, TestOrder
from services.feedback.jobs.shipping.record import ShipmentRecord
from services.feedback.jobs.shipping.services import ShippingServices, both
from services.feedback.jobs.waiting import uninterrupted, until_ended
from services.protocols.cases import Case
from services.protocols.profile import Profile

_NAMED_CASES = 5
_MAX_REASKED = 20


class SuiteStep:
    """Compares the verdicts on a form with those on its version."""

    def __init__(self, services: ShippingServices, record: ShipmentRecord) -> None:
        self._services, self._record = services, record

    async def compare(self, profile: Profile, cases: Sequence[Case]) -> GateResult:
        """Return what the form gained and lost.

        Raises:
            ServiceError: A run or an evaluation failed.
        """
        record, form = self._record, self._record.state.form_model_version_id
        before, after = await both(
            self._evaluation("", record.inputs.model_version_id), self._evaluation("form_", form)
        )
        comparison = await self._services.verdicts.compare(before, after)
        loss = comparison.rate_before - comparison.rate_after
        # A share of whole cases is not exact in binary.
        passed = loss <= record.spec.max_rate_loss + 1e-9
        gains = ", ".join(change.case_id for change in comparison.gains[:_NAMED_CASES])
        summary = (
            f"{comparison.rate_after:.1%} conform in the form and {comparison.rate_before:.1%} in the version; allowed "
            f"is a loss of {record.spec.max_rate_loss:.1%}. {len(comparison.gains)} gained{': ' * bool(gains)}{gains}; "
            f"{len(comparison.losses)} lost. "
        )
        # Which step between them is to blame is a question for forms that do worse alone.
        summary += (
            f"{comparison.equal_answers_rate:.1%} of the answers are the same." if passed else comparison.sentence
        )
        losses = [await self._loss(profile, cases, change) for change in comparison.losses[:_MAX_REASKED]]
        return GateResult.of(GateStep.SUITE, summary, losses, passed=passed)

    async def start(self, prefix: str, model_version_id: str) -> str:
        """Return the run of a version on the suite, started where it was not; one that has ended is used again.

        `prefix` is that of the state's fields.
        """
        run_id: str = getattr(self._record.state, f"{prefix}test_run_id") or await uninterrupted(
            self._run(prefix, model_version_id)
        )
        return run_id

    async def finished_run(self, model_version_id: str) -> str:
        """Return a run of a version that did already what the suite's step asks for; empty for none."""
        order = self._order(model_version_id)
        # What answers at an address may be another model than it was.
        return await self._services.forms.finished_run(order) if order.endpoint is None else ""

    async def _evaluation(self, prefix: str, model_version_id: str) -> str:
        """Return the evaluation of a version on the suite; one that has ended already is used again."""
        record, services = self._record, self._services
        run_id = await self.start(prefix, model_version_id)
        evaluation_id: str = getattr(record.state, f"{prefix}evaluation_id") or await uninterrupted(
            self._judge(prefix, run_id)
        )
        report = partial(record.report_work, GateStep.SUITE, of=model_version_id)
        await until_ended(services.test_runner, run_id, "test run", report)
        if await services.test_runner.is_incomplete(run_id):
            raise FailedPrecondition(
                f"The test run {run_id} has too few answers to decide on.",
                "Mend what its transcripts name, and ship again.",
            )
        await until_ended(services.evaluator, evaluation_id, "evaluation", report)
        return evaluation_id

    async def _run(self, prefix: str, model_version_id: str) -> str:
        record = self._record
        run_id = await self.finished_run(model_version_id) or await self._services.test_runner.start(
            record.request_id(f"{prefix}test_run"), self._order(model_version_id)
        )
        await record.update(**{f"{prefix}test_run_id": run_id})
        return run_id

    def _order(self, model_version_id: str) -> TestOrder:
        spec, suite = self._record.spec, self._record.inputs.suite
        return TestOrder(
            model_version_id=model_version_id,
            test_suite_version_id=suite.test_suite_version_id,
            prompt_size=spec.prompt_size,
            max_new_tokens=spec.max_new_tokens,
            seed=0,
            endpoint=self._record.asked(model_version_id).endpoint,
        )

    async def _judge(self, prefix: str, run_id: str) -> str:
        evaluation_id = await self._services.verdicts.finished_evaluation(
            run_id
        ) or await self._services.evaluator.start(self._record.request_id(f"{prefix}evaluation"), run_id)
        await self._record.update(**{f"{prefix}evaluation_id": evaluation_id})
        return evaluation_id

    async def _loss(self, profile: Profile, cases: Sequence[Case], change: CaseChange) -> str:
        """Return a lost case with its class: what the model wrote is judged once more, past the server's parser."""
        case = next((case for case in cases if case.case_id == change.case_id), None)
        kind = "parser" if case and await self._is_read_wrongly(profile, case) else "model"
        return f"{kind}: {change.case_id}: {change.sentence}"

    async def _is_read_wrongly(self, profile: Profile, case: Case) -> bool:
        record, spec, suite = self._record, self._record.spec, self._record.inputs.suite
        form = record.asked(record.state.form_model_version_id)
        asked = CaseOfSuite(suite.test_suite_version_id, case.case_id, spec.prompt_size, case.max_turns)
        answers = await self._services.forms.text_answers(form, asked, spec.max_new_tokens)
        return await self._services.verdicts.conforms(profile.id, case, answers)
