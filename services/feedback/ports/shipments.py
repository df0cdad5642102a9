"""What shipments need besides what loops do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from services.feedback.domain.loop import Inputs
from services.feedback.domain.shipment import Shipment, ShipmentSpec
from services.feedback.domain.work import (
    Asked,
    CaseOfSuite,
    Comparison,
    DeploymentTest,
    DeploymentToTest,
    ModelFacts,
    TestOrder,
)
from services.feedback.gate.numbers import RowScore
from services.feedback.gate.prompts import RenderedPrompt
from services.feedback.gate.rows import GateRow
from services.feedback.ports.loops import Work
from services.protocols.cases import Case


class Exports(Work, Protocol):
    """Writes forms of versions."""

    async def start(self, request_id: str, spec: Mapping[str, Any]) -> str:
        """Start an export once per request id and return its id."""
        ...

    async def form(self, export_id: str) -> str:
        """Return the version that an export which has SUCCEEDED made."""
        ...

    async def model(self, model_version_id: str) -> ModelFacts:
        """Return what a version was trained from.

        Raises:
            NotFound: There is no such version.
        """
        ...


class Publications(Work, Protocol):
    """Brings versions where others take them from."""

    async def start(self, request_id: str, model_version_id: str, destination: Mapping[str, Any], card: str) -> str:
        """Start a publication once per request id and return its id; `card` goes into the model card."""
        ...

    async def location(self, publication_id: str) -> str:
        """Return where a version is that was published."""
        ...


class Forms(Protocol):
    """Asks versions in whatever form they are."""

    async def render(self, model: Asked, row: GateRow) -> RenderedPrompt:
        """Return what the version, or what is served in its place, reads of a conversation.

        Raises:
            InvalidArgument: Its template refuses the messages.
        """
        ...

    async def score(
        self, model_version_id: str, rows: Sequence[GateRow | RowScore], *, max_tokens: int = 0
    ) -> list[RowScore]:
        """Return how likely a version finds the answers of rows, or of the same token ids as another's scores.

        Of each answer the first `max_tokens` tokens are scored; 0 for as many as is usual.
        """
        ...

    async def finished_run(self, order: TestOrder) -> str:
        """Return the newest run that did what is ordered and has an answer to every case; empty for none."""
        ...

    async def text_answers(self, model: Asked, case: CaseOfSuite, max_new_tokens: int) -> list[str]:
        """Return the texts that it writes in the turns of a case, as no parser of a server has read them.

        The client's replies between them are simulated.
        """
        ...


class Verdicts(Protocol):
    """Compares evaluations, and judges single answers."""

    async def finished_evaluation(self, test_run_id: str) -> str:
        """Return the newest evaluation of a run that has SUCCEEDED; empty for none."""
        ...

    async def card(self, evaluation_id: str) -> str:
        """Return what a model card says of an evaluation, in Markdown: suite, rates and their intervals."""
        ...

    async def compare(self, before_evaluation_id: str, after_evaluation_id: str) -> Comparison:
        """Return what was gained and lost between two forms of one model."""
        ...

    async def conforms(self, profile_id: str, case: Case, answers: Sequence[str]) -> bool:
        """Return whether the answers to a case conform."""
        ...


class Deployments(Protocol):
    """What is served, as far as it has a suite to pass."""

    async def to_test(self) -> list[DeploymentToTest]:
        """Return the deployments whose suite has no outcome yet."""
        ...

    async def report(self, deployment_id: str, test: DeploymentTest) -> None:
        """Tell how one does on its suite.

        Raises:
            NotFound: It was deleted.
        """
        ...


class ShipmentStore(Protocol):
    """Shipments, kept as durable jobs."""

    async def find(self, request_id: str) -> Shipment | None:
        """Return the shipment that was created under this request id, or None."""
        ...

    async def create(self, request_id: str, asked: ShipmentSpec, inputs: Inputs) -> Shipment:
        """Store a shipment; the same request id returns the shipment of the first call.

        Raises:
            AlreadyExists: The request id was used with another spec; the error names the field.
        """
        ...
