"""A shipment: the job that does it, what was asked, and what each step of the gate found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any, ClassVar

from services.chassis.jobs import Job
from services.chassis.wire import from_document
from services.feedback.domain.loop import Inputs

SHIPMENT_KIND = "shipment"
_MAX_DIFFERENCES = 20


class GateStep(StrEnum):
    """One thing that a form must pass, in this order; the last brings it where it should be."""

    EXPORT = "EXPORT"
    PROMPTS = "PROMPTS"
    LOG_PROBS = "LOG_PROBS"
    SUITE = "SUITE"
    PUBLICATION = "PUBLICATION"


@dataclass(frozen=True)
class ShipmentSpec:
    """What is shipped, and what it must pass; `export`, `destinations` and `endpoint` are by others' own names."""

    MESSAGE: ClassVar = "drillyard.feedback.v1.shipment_pb2.ShipmentSpec"

    model_version_id: str
    export: Mapping[str, Any]
    destinations: tuple[Mapping[str, Any], ...]
    test_suite_version_id: str
    prompt_size: str
    num_rows: int
    max_rate_loss: float
    max_log_prob_difference: float
    max_new_tokens: int
    endpoint: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class GateResult:
    """What one step found: a sentence, and what differs, each with its class in front."""

    step: GateStep
    passed: bool
    summary: str
    differences: tuple[str, ...] = ()

    @classmethod
    def of(cls, step: GateStep, summary: str, differences: Sequence[str] = (), *, passed: bool) -> GateResult:
        """Return a result with as many differences as are kept."""
        return cls(step, passed, summary, tuple(differences[:_MAX_DIFFERENCES]))


@dataclass(frozen=True)
class ShipmentState:
    """How far a shipment has come; an id is empty until its work has begun."""

    results: tuple[GateResult, ...] = ()
    card: str = ""
    base_export_id: str = ""
    base_form_model_version_id: str = ""
    export_id: str = ""
    form_model_version_id: str = ""
    test_run_id: str = ""
    evaluation_id: str = ""
    form_test_run_id: str = ""
    form_evaluation_id: str = ""
    publication_ids: tuple[str, ...] = ()
    locations: tuple[str, ...] = ()

    def has_passed(self, step: GateStep) -> bool:
        """Whether a step is behind."""
        return any(result.step is step and result.passed for result in self.results)

    def to_document(self) -> dict[str, Any]:
        """Return what is stored as the job's checkpoint."""
        return asdict(self)

    @classmethod
    def from_document(cls, document: Mapping[str, Any] | None) -> ShipmentState:
        """Return the state that `to_document` wrote; an empty one before the first."""
        values = dict(document or {})
        results = tuple(
            GateResult(GateStep(entry["step"]), entry["passed"], entry["summary"], tuple(entry["differences"]))
            for entry in values.get("results", ())
        )
        lists = {name: tuple(values.get(name, ())) for name in ("publication_ids", "locations")}
        return replace(cls(**{**values, **lists}), results=results)


@dataclass(frozen=True)
class Shipment:
    """A durable job that exports a version, proves the form and publishes it."""

    job: Job
    asked: ShipmentSpec
    inputs: Inputs
    state: ShipmentState

    @property
    def shipment_id(self) -> str:
        """The id of the shipment and of its job."""
        return self.job.job_id


def shipment_of(job: Job) -> Shipment:
    """Return the shipment that a job of kind `SHIPMENT_KIND` is."""
    return Shipment(
        job=job,
        asked=from_document(ShipmentSpec, job.spec["spec"]),
        inputs=Inputs.from_document(job.spec["inputs"]),
        state=ShipmentState.from_document(job.saved),
    )
