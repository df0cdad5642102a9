"""Models and their immutable versions."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from datetime import datetime
from enum import StrEnum
from typing import ClassVar

from services.chassis.artifacts import Artifact
from services.chassis.errors import AlreadyExists, InvalidArgument, NotFound
from services.chassis.wire.names import shown
from services.registry.domain.draft import Draft, Numbered


class ModelVersionKind(StrEnum):
    """What the bytes of a version are."""

    BASE = "base"
    ADAPTER = "adapter"
    MERGED = "merged"
    QUANTIZED = "quantized"
    TRAINED = "trained"
    GGUF = "gguf"
    GGUF_ADAPTER = "gguf_adapter"
    OLLAMA = "ollama"

    @property
    def is_full_weights(self) -> bool:
        """True when an adapter can be loaded on it."""
        return self in (ModelVersionKind.BASE, ModelVersionKind.MERGED, ModelVersionKind.TRAINED)

    @property
    def is_served_form(self) -> bool:
        """True for a form that other programs serve, of which nothing is trained or merged."""
        return self in (ModelVersionKind.GGUF, ModelVersionKind.GGUF_ADAPTER, ModelVersionKind.OLLAMA)


@dataclass(frozen=True)
class Model:
    """A name under which versions of weights are kept."""

    model_id: str
    latest_version: int
    create_time: datetime


@dataclass(frozen=True)
class ModelFacts:
    """What a model's files say about it; the licence as its source names it, empty where it names none."""

    architecture: str
    num_parameters: int
    context_length: int
    licence: str = ""


@dataclass(frozen=True, kw_only=True)
class ModelVersionDraft(Draft):
    """A model version before it has a number."""

    asked: ClassVar[tuple[str, ...]] = ("model_id", "kind", "base_model_version_id", "artifact.digest", "produced_by")

    model_id: str
    kind: ModelVersionKind
    base_model_version_id: str
    source: Artifact | None
    facts: ModelFacts

    @property
    def owner_id(self) -> str:
        """The model."""
        return self.model_id


@dataclass(frozen=True, kw_only=True)
class ModelVersion(ModelVersionDraft, Numbered):
    """One immutable set of weights."""

    @classmethod
    def of(cls, draft: ModelVersionDraft, version: int, create_time: datetime) -> ModelVersion:
        """Return the version that `draft` becomes."""
        taken = {field.name: getattr(draft, field.name) for field in fields(ModelVersionDraft)}
        return cls(**taken, version=version, create_time=create_time)


def check_lineage(kind: ModelVersionKind, base_model_version_id: str) -> None:
    """Raise InvalidArgument unless the kind and the presence of a base agree."""
    if kind is ModelVersionKind.BASE and base_model_version_id:
        raise InvalidArgument(
            "A base version has no base_model_version_id.", "Leave it empty.", field="base_model_version_id"
        )
    if kind is not ModelVersionKind.BASE and not base_model_version_id:
        raise InvalidArgument(
            f"A version of kind {kind.value} needs the version it was made from.",
            "Set base_model_version_id.",
            field="base_model_version_id",
        )


def check_base(draft: ModelVersionDraft, base: ModelVersion) -> None:
    """Raise InvalidArgument unless `base` is named with its number and is of a kind that the draft can be made of."""
    if draft.base_model_version_id != base.version_id:
        raise InvalidArgument(
            f"base_model_version_id {draft.base_model_version_id} names no single version.",
            f"Name the version, such as {base.version_id}.",
            field="base_model_version_id",
        )
    weights = f"Name the full weights, such as {base.base_model_version_id or 'a base version'}."
    if draft.kind is ModelVersionKind.ADAPTER and not base.kind.is_full_weights:
        raise InvalidArgument(
            f"{base.version_id} is of kind {base.kind.value}; an adapter is loaded on full weights.",
            weights,
            field="base_model_version_id",
        )
    if base.kind.is_served_form and (draft.kind, base.kind) != (ModelVersionKind.OLLAMA, ModelVersionKind.GGUF):
        raise InvalidArgument(
            f"{base.version_id} is of kind {base.kind.value}, a form to be served; nothing is made of it.",
            weights,
            field="base_model_version_id",
        )


def check_one_kind(newest: ModelVersion | None, model_id: str, kind: ModelVersionKind) -> None:
    """Raise AlreadyExists when the model that gets a version holds another kind: its newest would be another."""
    if newest is not None and newest.kind is not kind:
        raise AlreadyExists(
            f"The model {model_id} holds versions of kind {newest.kind.value}, not {kind.value}.",
            "Choose another name.",
            field="model_id",
        )


def inherited(facts: ModelFacts, base: ModelVersion | None) -> ModelFacts:
    """Return the facts of a version with what its own files leave to its base."""
    if base is None:
        return facts
    return replace(
        facts,
        architecture=facts.architecture or base.facts.architecture,
        context_length=facts.context_length or base.facts.context_length,
        licence=facts.licence or base.facts.licence,
    )


def model_not_found(model_id: str) -> NotFound:
    """Return the error for a model that isn't there."""
    return NotFound(f"There is no model {shown(model_id)}.", "See what there is with `drillyard models list`.")


def model_version_not_found(text: str) -> NotFound:
    """Return the error for a model version that isn't there."""
    return NotFound(f"There is no model version {shown(text)}.", "See what there is with `drillyard models list`.")
