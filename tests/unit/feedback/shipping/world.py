"""What a shipment asks of other services, played in memory: forms with one planted fault each."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.chassis.errors import InvalidArgument
from services.chassis.jobs import JobState
from services.feedback.domain.work import (
    Asked,
    CaseChange,
    CaseOfSuite,
    Comparison,
    ModelFacts,
    SuiteVersion,
    TestOrder,
    WorkProgress,
    WorkState,
)
from services.feedback.gate.numbers import RowScore
from services.feedback.gate.prompts import RenderedPrompt
from services.feedback.gate.rows import GateRow
from services.feedback.jobs.shipping.services import ShippingServices
from services.protocols.cases import Case
from services.protocols.profile import get_profile

VERSION, BASE, SUITE = "small-roo@1", "small@1", "roo_xml/core@1"
CASES = get_profile("roo_xml").suites()[0].cases[:24]


@dataclass
class FakeWork:
    """Work elsewhere that has ended at once; a start is counted by its request id."""

    name: str
    starts: Counter[str] = field(default_factory=Counter)
    bodies: dict[str, Any] = field(default_factory=dict)
    cancelled: list[str] = field(default_factory=list)
    outcome: WorkState = field(default_factory=lambda: WorkState(JobState.SUCCEEDED))

    async def begin(self, request_id: str, body: Any) -> str:
        self.starts[request_id.partition("/")[2]] += 1
        work_id = f"{self.name}-{len(self.bodies)}"
        self.bodies[work_id] = body
        return work_id

    async def watch(self, work_id: str) -> AsyncGenerator[WorkProgress, None]:
        yield WorkProgress("work", 1, 1, "bytes")

    async def state(self, work_id: str) -> WorkState:
        return self.outcome

    async def cancel(self, work_id: str) -> None:
        self.cancelled.append(work_id)


class FakeExports(FakeWork):
    """Registers a form for each export."""

    async def start(self, request_id: str, spec: Mapping[str, Any]) -> str:
        return await self.begin(request_id, dict(spec))

    async def form(self, export_id: str) -> str:
        return f"{VERSION.partition('@')[0]}-{export_id}@1"

    async def model(self, model_version_id: str) -> ModelFacts:
        return ModelFacts(model_version_id, *((BASE, "train-1") if model_version_id == VERSION else ()))


class FakePublications(FakeWork):
    """Publishes nothing."""

    async def start(self, request_id: str, model_version_id: str, destination: Mapping[str, Any], card: str) -> str:
        return await self.begin(request_id, (model_version_id, dict(destination), card))

    async def location(self, publication_id: str) -> str:
        return f"at {publication_id}"


class FakeTestRunner(FakeWork):
    """Runs suites at once."""

    async def start(self, request_id: str, order: TestOrder) -> str:
        return await self.begin(request_id, order)

    async def is_incomplete(self, test_run_id: str) -> bool:
        return False

    async def finish(self, request_id: str, test_run_id: str) -> str:
        raise NotImplementedError


class FakeEvaluator(FakeWork):
    """Judges at once."""

    async def start(self, request_id: str, test_run_id: str) -> str:
        return await self.begin(request_id, test_run_id)


class FakeTrainer(FakeWork):
    """Trained one version."""

    async def card(self, training_job_id: str) -> str:
        return f"Trained by {training_job_id}."


class FakeForms:
    """Renders and scores; `fault` names what is wrong with every form that is not the version or its base."""

    def __init__(self, fault: str = "") -> None:
        self.fault = fault
        self.known_run = ""
        self.rendered: list[Asked] = []

    async def render(self, model: Asked, row: GateRow) -> RenderedPrompt:
        self.rendered.append(model)
        fault = "" if model.model_version_id in (VERSION, BASE) else self.fault
        if fault == "refusal":
            raise InvalidArgument("It takes no such role.", "")
        text = "".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in row.messages)
        text += "<|im_start|>assistant\n"
        if fault == "system" and not row.has_system:
            text = f"<|im_start|>system\nBe nice.<|im_end|>\n{text}"
        ids = tuple(map(ord, text))
        return RenderedPrompt(text, (1, 1, *ids) if fault == "bos" else (1, *ids))

    async def score(
        self, model_version_id: str, rows: Sequence[GateRow | RowScore], *, max_tokens: int = 0
    ) -> list[RowScore]:
        fault = "" if model_version_id in (VERSION, BASE) else self.fault
        moves = {"": 0.01, "base": 0.5, "quantised": 0.9, "head": -6.0}
        move = 0.5 if model_version_id == BASE else 0.0 if model_version_id == VERSION else moves.get(fault, 0.01)
        sign = 1 if fault == "head" else -1
        log_probs = tuple(-1.0 + move * sign**place for place in range(8))
        return [RowScore((1, 2, 3), 1, log_probs, ends_turn=fault != "stop") for _ in rows]

    async def finished_run(self, order: TestOrder) -> str:
        return self.known_run if order.model_version_id == VERSION else ""

    async def text_answers(self, model: Asked, case: CaseOfSuite, max_new_tokens: int) -> list[str]:
        return ["right" if self.fault == "parser" else "wrong"] * case.max_turns


class FakeVerdicts:
    """Loses two cases where the form is worse."""

    def __init__(self, forms: FakeForms) -> None:
        self._forms = forms

    async def finished_evaluation(self, test_run_id: str) -> str:
        return "known-evaluation" if test_run_id == self._forms.known_run else ""

    async def card(self, evaluation_id: str) -> str:
        return f"Tested in {evaluation_id}."

    async def compare(self, before_evaluation_id: str, after_evaluation_id: str) -> Comparison:
        is_worse = self._forms.fault in ("parser", "model")
        losses = tuple(CaseChange(case.case_id, "No call was found.") for case in CASES[:2])
        gains = (CaseChange(CASES[5].case_id, "It was wrong."),)
        rates = (0.8, 0.7 if is_worse else 0.8)
        return Comparison(*rates, gains, losses if is_worse else (), 0.5, "The guilty step is weights.")

    async def conforms(self, profile_id: str, case: Case, answers: Sequence[str]) -> bool:
        assert len(answers) == case.max_turns
        return set(answers) == {"right"}


class FakeRegistry:
    """Has one suite."""

    async def resolve_model(self, model_version_id: str) -> str:
        return VERSION

    async def resolve_suite(self, test_suite_version_id: str) -> SuiteVersion:
        return SuiteVersion(SUITE, "roo_xml")

    async def list_cases(self, test_suite_version_id: str) -> tuple[Case, ...]:
        return tuple(CASES)


@dataclass
class ShippingWorld:
    """All that a shipment asks."""

    fault: str = ""

    def __post_init__(self) -> None:
        self.registry, self.forms = FakeRegistry(), FakeForms(self.fault)
        self.exports, self.publications = FakeExports("export"), FakePublications("publication")
        self.test_runner, self.evaluator = FakeTestRunner("run"), FakeEvaluator("evaluation")

    @property
    def services(self) -> ShippingServices:
        return ShippingServices(
            registry=self.registry,  # type: ignore[arg-type]
            test_runner=self.test_runner,
            evaluator=self.evaluator,  # type: ignore[arg-type]
            trainer=FakeTrainer("training"),  # type: ignore[arg-type]
            exports=self.exports,
            publications=self.publications,
            forms=self.forms,
            verdicts=FakeVerdicts(self.forms),
        )
