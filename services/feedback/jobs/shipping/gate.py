"""The steps of the gate, in the order in which a form takes them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

from services.chassis.errors import InvalidArgument
from services.feedback.domain.shipment import GateResult, GateStep
from services.feedback.gate.numbers import RowScore, Scores, log_prob_result
from services.feedback.gate.prompts import RenderedPrompt, prompt_difference
from services.feedback.gate.rows import GateRow, gate_rows
from services.feedback.jobs.shipping.record import ShipmentRecord
from services.feedback.jobs.shipping.services import ShippingServices, both
from services.feedback.jobs.shipping.suite import SuiteStep
from services.feedback.jobs.waiting import uninterrupted, until_ended
from services.protocols.cases import Case

_GGUF_ADAPTER = "EXPORT_FORM_GGUF_ADAPTER"

_Rendered = RenderedPrompt | InvalidArgument


class GateSteps:
    """Takes a form through the gate, going on from what the record holds.

    The version and its form are asked by processes of their own, so what both are asked is asked side by side.
    """

    def __init__(self, services: ShippingServices, record: ShipmentRecord) -> None:
        self._services, self._record = services, record
        self._suite = SuiteStep(services, record)
        self._cases: tuple[Case, ...] = ()
        self._rows: list[GateRow] = []
        self._prompts: list[_Rendered] = []
        self._scores: list[RowScore] = []

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
        # What the form will be compared with does not need it.
        form, _ = await both(self._write_form(), self._ask_version())
        await self._record.update(form_model_version_id=form)
        return GateResult.of(GateStep.EXPORT, f"The form is {form}.", passed=True)

    async def _write_form(self) -> str:
        record, inputs = self._record, self._record.inputs
        own = {"model_version_id": inputs.model_version_id, "card": await self._card()}
        spec = {"profile_id": inputs.suite.profile_id, **record.spec.export, **own}
        if spec.get("form") == _GGUF_ADAPTER:
            base = (await self._services.exports.model(inputs.model_version_id)).trained_from
            # A GGUF adapter is served on the GGUF form of its base.
            of_base = {"model_version_id": base, "form": "EXPORT_FORM_GGUF", "number_type": "BF16"}
            form_of_base = await self._form_of("base_export_id", "base", of_base)
            # Named from now on, it is not deleted while the shipment needs it.
            await self._record.update(base_form_model_version_id=form_of_base)
        return await self._form_of("export_id", "export", spec)

    async def _card(self) -> str:
        """Return what the model card says of the version's training, and of its test where it was tested before.

        It is the same ever after.
        """
        record, services = self._record, self._services
        if not record.state.card and not record.state.export_id:
            run_id = await self._suite.finished_run(self._version)
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

    async def _ask_version(self) -> None:
        """Learn what the version reads of the rows, and how likely it finds their answers, by loading it once."""
        if self._scores:
            return
        suite_id = self._record.inputs.suite.test_suite_version_id
        spec, self._cases = self._record.spec, await self._services.registry.list_cases(suite_id)
        profile = self._record.profile
        self._rows = await asyncio.to_thread(gate_rows, profile, self._cases, spec.prompt_size, spec.num_rows)
        self._prompts = await self._rendered(self._version)
        self._scores = await self._services.forms.score(self._version, self._answered)

    async def _compare_prompts(self) -> GateResult:
        await self._ask_version()
        by_form = await self._rendered(self._form)
        # What the version's own template refuses is no prompt of it.
        pairs = zip(self._rows, self._prompts, by_form, strict=True)
        compared = [pair for pair in pairs if isinstance(pair[1], RenderedPrompt)]
        differences = [difference for pair in compared if (difference := _difference(*pair))]
        num_equal = len(compared) - len(differences)
        differences += await self._stop_differences()
        summary = f"{num_equal} of {len(compared)} prompts are the same, token by token."
        return GateResult.of(GateStep.PROMPTS, summary, differences, passed=not differences)

    async def _rendered(self, model_version_id: str) -> list[_Rendered]:
        """Return what a version reads of each row, or why it refuses it."""
        rendered: list[_Rendered] = []
        step = GateStep.PROMPTS if self._form else GateStep.EXPORT
        for place, row in enumerate(self._rows):
            await self._record.report(step, f"{place} of {len(self._rows)} rows by {model_version_id}")
            try:
                rendered.append(await self._services.forms.render(self._record.asked(model_version_id), row))
            except InvalidArgument as error:
                rendered.append(error)
        return rendered

    async def _stop_differences(self) -> list[str]:
        version = self._scores[0]
        (score,) = await self._services.forms.score(self._form, [version], max_tokens=1)
        if score.ends_turn or not version.ends_turn:
            return []
        end, name = score.token_ids[-1], self._answered[0].name
        return [f"stop: {name}: the form does not end its answer at token {end}, as the version does."]

    async def _compare_log_probs(self) -> GateResult:
        await self._ask_version()
        forms, record = self._services.forms, self._record
        await record.report(GateStep.LOG_PROBS, f"{len(self._scores)} answers by {self._form}")
        base, by_form = await both(self._ask_base(), forms.score(self._form, self._scores))
        scores = Scores(self._scores, by_form, *base)
        return log_prob_result(scores, [row.name for row in self._answered], record.spec.max_log_prob_difference)

    async def _ask_base(self) -> tuple[list[RowScore], str]:
        """Return how likely what the version was trained from finds the answers, and its name.

        Then the version begins with the suite, which the form's process leaves room for.
        """
        base = (await self._services.exports.model(self._version)).trained_from
        by_base = await self._services.forms.score(base, self._scores) if base else []
        await self._suite.start("", self._version)
        return by_base, base

    async def _compare_verdicts(self) -> GateResult:
        cases = self._cases or await self._services.registry.list_cases(self._record.inputs.suite.test_suite_version_id)
        return await self._suite.compare(self._record.profile, cases)

    async def _start_publication(self, place: int, destination: Mapping[str, Any]) -> None:
        record = self._record
        # What was measured of the form itself; its own card was written before that could be.
        rates = await self._services.verdicts.card(record.state.form_evaluation_id)
        found = "\n".join(f"- {result.summary}" for result in record.state.results[1:])
        started = await self._services.publications.start(
            record.request_id(f"publication-{place}"), self._form, destination, f"{rates}\n\n{found}"
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

    @property
    def _answered(self) -> Sequence[GateRow]:
        return [row for row in self._rows if row.answer]

    @property
    def _version(self) -> str:
        return self._record.inputs.model_version_id

    @property
    def _form(self) -> str:
        return self._record.state.form_model_version_id


def _difference(row: GateRow, version: _Rendered, form: _Rendered) -> str:
    if isinstance(form, InvalidArgument):
        return f"template: {row.name}: the form refuses messages that the version takes: {form.problem}"
    return prompt_difference(row, version, form) if isinstance(version, RenderedPrompt) else ""
