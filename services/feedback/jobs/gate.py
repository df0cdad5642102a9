"""The steps of the gate, in the order in which a form takes them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from services.chassis.errors import FailedPrecondition, InvalidArgument
from services.feedback.domain.shipment import GateResult, GateStep
from services.feedback.domain.work import CaseChange, TestOrder
from services.feedback.gate.numbers import Scores, log_prob_result
from services.feedback.gate.prompts import RenderedPrompt, prompt_difference
from services.feedback.gate.rows import GateRow, case_row, gate_rows
from services.feedback.jobs.shipment_record import ShipmentRecord
from services.feedback.jobs.waiting import uninterrupted, until_ended
from services.feedback.ports import Evaluator, Exports, Forms, Publications, Registry, TestRunner, Trainer, Verdicts
from services.protocols.cases import Case
from services.protocols.profile import Profile, get_profile

_GGUF_ADAPTER = "EXPORT_FORM_GGUF_ADAPTER"
_NAMED_CASES = 5
_MAX_REASKED = 20


@dataclass(frozen=True)
class ShippingServices:
    """The other services, as a shipment sees them."""

    registry: Registry
    test_runner: TestRunner
    evaluator: Evaluator
    trainer: Trainer
    exports: Exports
    publications: Publications
    forms: Forms
    verdicts: Verdicts


class GateSteps:
    """Takes a form through the gate, going on from what the record holds."""

    def __init__(self, services: ShippingServices, record: ShipmentRecord) -> None:
        self._services, self._record = services, record
        self._cases: tuple[Case, ...] = ()

    async def take(self, step: GateStep) -> GateResult:
        """Return what a step found; those before it are passed.

        Raises:
            ServiceError: The work that it needs failed.
        """
        steps: dict[GateStep, Callable[[], Awaitable[GateResult]]] = {
            GateStep.EXPORT: self._export,
            GateStep.PROMPTS: self._compare_prompts,
            GateStep.LOG_PROBS: self._compare_log_probs,
            GateStep.SUITE: self._compare_verdicts,
            GateStep.PUBLICATION: self._publish,
        }
        return await steps[step]()

    async def _export(self) -> GateResult:
        record, inputs = self._record, self._record.inputs
        own = {"model_version_id": inputs.model_version_id, "card": await self._card()}
        spec = {"profile_id": inputs.suite.profile_id, **record.spec.export, **own}
        if spec.get("form") == _GGUF_ADAPTER:
            base = (await self._services.exports.model(inputs.model_version_id)).trained_from
            # A GGUF adapter is served on the GGUF form of its base.
            of_base = {"model_version_id": base, "form": "EXPORT_FORM_GGUF", "number_type": "BF16"}
            await self._form_of("base_export_id", "base", of_base)
        form = await self._form_of("export_id", "export", spec)
        await record.update(form_model_version_id=form)
        return GateResult.of(GateStep.EXPORT, f"The form is {form}.", passed=True)

    async def _card(self) -> str:
        """Return what the model card says of the version's training, and of its test where it was tested before.

        It is the same ever after.
        """
        record, services = self._record, self._services
        if not record.state.card and not record.state.export_id:
            run_id = await services.forms.finished_run(self._order(self._version))
            evaluation_id = await services.verdicts.finished_evaluation(run_id) if run_id else ""
            tested = await services.verdicts.card(evaluation_id) if evaluation_id else ""
            job_id = (await services.exports.model(self._version)).training_job_id
            trained = await services.trainer.card(job_id) if job_id else ""
            await record.update(card="\n\n".join(filter(None, (trained, tested))))
        return str(record.spec.export.get("card") or record.state.card)

    async def _form_of(self, field: str, name: str, spec: Mapping[str, Any]) -> str:
        record, exports = self._record, self._services.exports

        async def start() -> str:
            started = await exports.start(record.request_id(name), spec)
            await record.update(**{field: started})
            return started

        export_id: str = getattr(record.state, field) or await uninterrupted(start())
        await until_ended(exports, export_id, "export", partial(record.report_work, GateStep.EXPORT))
        return await exports.form(export_id)

    async def _compare_prompts(self) -> GateResult:
        rows = await self._rows()
        by_version = await self._rendered(self._version, rows)
        by_form = await self._rendered(self._form, rows)
        # What the version's own template refuses is no prompt of it.
        compared = [pair for pair in zip(rows, by_version, by_form, strict=True) if isinstance(pair[1], RenderedPrompt)]
        differences = [difference for pair in compared if (difference := _difference(*pair))]
        num_equal = len(compared) - len(differences)
        differences += await self._stop_differences(next(row for row in rows if row.answer))
        summary = f"{num_equal} of {len(compared)} prompts are the same, token by token."
        return GateResult.of(GateStep.PROMPTS, summary, differences, passed=not differences)

    async def _rendered(self, model_version_id: str, rows: Sequence[GateRow]) -> list[RenderedPrompt | InvalidArgument]:
        """Return what a version reads of each row, or why it refuses it; one version after the other, as they load."""
        rendered: list[RenderedPrompt | InvalidArgument] = []
        for place, row in enumerate(rows):
            await self._record.report(GateStep.PROMPTS, f"{place} of {len(rows)} rows by {model_version_id}")
            try:
                rendered.append(await self._services.forms.render(model_version_id, row))
            except InvalidArgument as error:
                rendered.append(error)
        return rendered

    async def _stop_differences(self, row: GateRow) -> list[str]:
        forms = self._services.forms
        version = await forms.score(self._version, [row], max_tokens=1)
        (score,) = await forms.score(self._form, version, max_tokens=1)
        if score.ends_turn or not version[0].ends_turn:
            return []
        end = score.token_ids[-1]
        return [f"stop: {row.name}: the form does not end its answer at token {end}, as the version does."]

    async def _compare_log_probs(self) -> GateResult:
        record, services = self._record, self._services
        rows = [row for row in await self._rows() if row.answer]
        base = (await services.exports.model(self._version)).trained_from
        await record.report(GateStep.LOG_PROBS, f"{len(rows)} answers by {self._version}")
        version = await services.forms.score(self._version, rows)
        by_base = []
        if base:
            await record.report(GateStep.LOG_PROBS, f"{len(rows)} answers by {base}")
            by_base = await services.forms.score(base, version)
        await record.report(GateStep.LOG_PROBS, f"{len(rows)} answers by {self._form}")
        by_form = await services.forms.score(self._form, version)
        scores = Scores(version, by_form, by_base, base)
        return log_prob_result(scores, [row.name for row in rows], record.spec.max_log_prob_difference)

    async def _compare_verdicts(self) -> GateResult:
        record = self._record
        before = await self._evaluation("", self._version)
        after = await self._evaluation("form_", self._form)
        comparison = await self._services.verdicts.compare(before, after)
        loss = comparison.rate_before - comparison.rate_after
        gains = ", ".join(change.case_id for change in comparison.gains[:_NAMED_CASES])
        summary = (
            f"{comparison.rate_after:.1%} conform in the form and {comparison.rate_before:.1%} in the version; allowed "
            f"is a loss of {record.spec.max_rate_loss:.1%}. {len(comparison.gains)} gained{': ' * bool(gains)}{gains}; "
            f"{len(comparison.losses)} lost. {comparison.sentence}"
        )
        losses = [await self._loss(change) for change in comparison.losses[:_MAX_REASKED]]
        # A share of whole cases is not exact in binary.
        return GateResult.of(GateStep.SUITE, summary, losses, passed=loss <= record.spec.max_rate_loss + 1e-9)

    async def _evaluation(self, prefix: str, model_version_id: str) -> str:
        """Return the evaluation of a version on the suite; one that has ended already is used again."""
        record, services = self._record, self._services
        run_id = getattr(record.state, f"{prefix}test_run_id") or await uninterrupted(
            self._run(prefix, model_version_id)
        )
        evaluation_id: str = getattr(record.state, f"{prefix}evaluation_id") or await uninterrupted(
            self._judge(prefix, run_id)
        )
        report = partial(record.report_work, GateStep.SUITE)
        await until_ended(services.test_runner, run_id, "test run", report)
        if await services.test_runner.is_incomplete(run_id):
            raise FailedPrecondition(
                f"The test run {run_id} has too few answers to decide on.",
                "Mend what its transcripts name, and ship again.",
            )
        await until_ended(services.evaluator, evaluation_id, "evaluation", report)
        return evaluation_id

    async def _run(self, prefix: str, model_version_id: str) -> str:
        record, order = self._record, self._order(model_version_id)
        run_id = await self._services.forms.finished_run(order) or await self._services.test_runner.start(
            record.request_id(f"{prefix}test_run"), order
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
        )

    async def _judge(self, prefix: str, run_id: str) -> str:
        evaluation_id = await self._services.verdicts.finished_evaluation(
            run_id
        ) or await self._services.evaluator.start(self._record.request_id(f"{prefix}evaluation"), run_id)
        await self._record.update(**{f"{prefix}evaluation_id": evaluation_id})
        return evaluation_id

    async def _loss(self, change: CaseChange) -> str:
        """Return a lost case with its class: what the model wrote is judged once more, past the server's parser."""
        case = next((case for case in await self._suite() if case.case_id == change.case_id), None)
        kind = "parser" if case and await self._is_read_wrongly(case) else "model"
        return f"{kind}: {change.case_id}: {change.sentence}"

    async def _is_read_wrongly(self, case: Case) -> bool:
        spec, forms = self._record.spec, self._services.forms
        # The reply of the client to a first answer that conforms was not seen.
        if case.max_turns > 1:
            return False
        row = case_row(self._profile, case, spec.prompt_size)
        prompt = await forms.render(self._form, row)
        answer = await forms.text_answer(self._form, prompt.text, spec.max_new_tokens)
        return await self._services.verdicts.conforms(self._profile.id, case, answer)

    @property
    def _version(self) -> str:
        return self._record.inputs.model_version_id

    @property
    def _form(self) -> str:
        return self._record.state.form_model_version_id

    @property
    def _profile(self) -> Profile:
        return get_profile(self._record.inputs.suite.profile_id)

    async def _suite(self) -> tuple[Case, ...]:
        suite_id = self._record.inputs.suite.test_suite_version_id
        self._cases = self._cases or await self._services.registry.list_cases(suite_id)
        return self._cases

    async def _rows(self) -> list[GateRow]:
        spec, cases = self._record.spec, await self._suite()
        return await asyncio.to_thread(gate_rows, self._profile, cases, spec.prompt_size, spec.num_rows)

    async def _start_publication(self, place: int, destination: Mapping[str, Any]) -> None:
        record = self._record
        started = await self._services.publications.start(
            record.request_id(f"publication-{place}"), self._form, destination
        )
        await record.update(publication_ids=(*record.state.publication_ids, started))

    async def _publish(self) -> GateResult:
        record, publications = self._record, self._services.publications
        for place, destination in enumerate(record.spec.destinations):
            if place < len(record.state.locations):
                continue
            if place == len(record.state.publication_ids):
                await uninterrupted(self._start_publication(place, destination))
            publication_id = record.state.publication_ids[place]
            report = partial(record.report_work, GateStep.PUBLICATION)
            await until_ended(publications, publication_id, "publication", report)
            await record.update(locations=(*record.state.locations, await publications.location(publication_id)))
        places = ", ".join(record.state.locations) or "nowhere, as asked"
        return GateResult.of(GateStep.PUBLICATION, f"Published: {places}.", passed=True)


def _difference(row: GateRow, version: RenderedPrompt | InvalidArgument, form: RenderedPrompt | InvalidArgument) -> str:
    if isinstance(form, InvalidArgument):
        return f"template: {row.name}: the form refuses messages that the version takes: {form.problem}"
    return prompt_difference(row, version, form) if isinstance(version, RenderedPrompt) else ""
