"""Exports: jobs that turn a version into a form in which it is served elsewhere."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import ClassVar

from services.chassis.artifacts import Artifact
from services.chassis.errors import InvalidArgument
from services.chassis.jobs import Job
from services.chassis.wire.documents import from_document
from services.chassis.wire.names import shown
from services.registry.domain.model import ModelVersion, ModelVersionKind
from services.registry.domain.model_import import NOTES

EXPORT_KIND = "export"
# Begins `produced_by` of what an export made.
EXPORTED = "export:"


class ExportPhase(StrEnum):
    """What an export does now."""

    CHECK = "check"
    VERIFY = "verify"
    WRITE = "write"
    STORE = "store"


class ExportForm(StrEnum):
    """What an export writes."""

    ADAPTER = "adapter"
    MERGED = "merged"
    GGUF = "gguf"
    GGUF_ADAPTER = "gguf_adapter"
    OLLAMA = "ollama"

    @property
    def kind(self) -> ModelVersionKind:
        """What the version is that it makes."""
        return ModelVersionKind[self.name]


_FORMS_OF: dict[ModelVersionKind, tuple[ExportForm, ...]] = {
    ModelVersionKind.BASE: (ExportForm.GGUF, ExportForm.OLLAMA),
    ModelVersionKind.ADAPTER: tuple(ExportForm),
    ModelVersionKind.MERGED: (ExportForm.MERGED, ExportForm.GGUF, ExportForm.OLLAMA),
    ModelVersionKind.TRAINED: (ExportForm.MERGED, ExportForm.GGUF, ExportForm.OLLAMA),
    ModelVersionKind.GGUF: (ExportForm.OLLAMA,),
}
MERGED_NUMBER_TYPES = {"BF16": 2.0, "F16": 2.0, "F32": 4.0}
# Bytes that a weight takes at most in a model of this type, some of whose tensors are kept at a better one.
GGUF_NUMBER_TYPES = {
    "F32": 4.0,
    "F16": 2.0,
    "BF16": 2.0,
    "Q8_0": 1.07,
    "Q6_K": 0.83,
    "Q5_K_M": 0.8,
    "Q5_K_S": 0.8,
    "Q5_1": 0.83,
    "Q5_0": 0.8,
    "Q4_K_M": 0.75,
    "Q4_K_S": 0.75,
    "Q4_1": 0.75,
    "Q4_0": 0.75,
    "TQ2_0": 0.6,
    "TQ1_0": 0.6,
}
_NUMBER_TYPES: dict[ExportForm, tuple[dict[str, float], str]] = {
    ExportForm.MERGED: (MERGED_NUMBER_TYPES, "BF16"),
    ExportForm.GGUF: (GGUF_NUMBER_TYPES, "Q8_0"),
    ExportForm.OLLAMA: (GGUF_NUMBER_TYPES, "Q8_0"),
}
_WIDEST = 4.0


@dataclass(frozen=True)
class ExportSpec:
    """What is exported; `resolved` fills in what a caller left open."""

    MESSAGE: ClassVar[str] = "drillyard.registry.v1.export_pb2.ExportSpec"

    model_version_id: str
    form: ExportForm
    number_type: str
    model_id: str
    profile_id: str
    num_ctx: int
    card: str
    renderer: str = ""
    parser: str = ""

    def written_bytes(self, num_parameters: int, source_bytes: int) -> int:
        """Return an upper bound of what its files take.

        Args:
            num_parameters: Of the whole model.
            source_bytes: Of the version that is exported.
        """
        if not self.number_type:
            return 2 * source_bytes
        sizes, _ = _NUMBER_TYPES[self.form]
        return int(num_parameters * sizes.get(self.number_type, _WIDEST))


@dataclass(frozen=True)
class Export:
    """An export and the job that does it."""

    spec: ExportSpec
    job: Job

    @property
    def model_version_id(self) -> str:
        """The version that it made; empty until it has succeeded."""
        return str((self.job.result or {}).get("model_version_id", ""))

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know of the form."""
        return tuple(map(str, (self.job.saved or {}).get(NOTES, ())))


@dataclass(frozen=True)
class ExportSource:
    """What an export reads.

    Attributes:
        version: The version that is exported.
        folder: Its verified files.
        base: For an adapter the version that it is loaded on.
        base_folder: Its verified files.
    """

    spec: ExportSpec
    version: ModelVersion
    folder: Path
    base: ModelVersion | None = None
    base_folder: Path | None = None

    @property
    def whole(self) -> ModelVersion:
        """The version with the full weights."""
        return self.base or self.version


def export_of(job: Job) -> Export:
    """Return the export that `job` does."""
    return Export(from_document(ExportSpec, job.spec), job)


def resolved(spec: ExportSpec, version: ModelVersion) -> ExportSpec:
    """Return the spec with the version's number, its number type and the name of the model that it makes.

    Raises:
        InvalidArgument: The version has no such form, or the form no such number type.
    """
    _check_form(spec.form, version)
    if spec.num_ctx and spec.form is not ExportForm.OLLAMA:
        raise InvalidArgument(
            f"The form {spec.form.value.replace('_', '-')} announces the context that the model has.",
            "Leave num_ctx out, or export as ollama.",
            field="num_ctx",
        )
    if (spec.renderer or spec.parser) and spec.form is not ExportForm.OLLAMA:
        raise InvalidArgument(
            "Only Ollama has renderers and parsers of its own.",
            "Leave them out, or export as ollama.",
            field="renderer",
        )
    number_type = _number_type(spec, version.kind)
    suffix = f"{spec.form.value}-{number_type}" if (spec.form, number_type) != (ExportForm.MERGED, "BF16") else "merged"
    name = f"{version.model_id}-{suffix}".lower().replace("_", "-").rstrip("-")
    return replace(spec, model_version_id=version.version_id, number_type=number_type, model_id=spec.model_id or name)


def _check_form(form: ExportForm, version: ModelVersion) -> None:
    forms = _FORMS_OF.get(version.kind, ())
    if form in forms:
        return
    reason = (
        "there is no adapter to merge into it"
        if (form, version.kind) == (ExportForm.MERGED, ModelVersionKind.BASE)
        else f"it is of kind {version.kind.value}"
    )
    names = " or ".join(each.value.replace("_", "-") for each in forms)
    raise InvalidArgument(
        f"{version.version_id} has no form {form.value.replace('_', '-')}: {reason}.",
        f"Publish it as it is{f', or export it as {names}' if names else ''}.",
        field="form",
    )


def _number_type(spec: ExportSpec, kind: ModelVersionKind) -> str:
    number_type = spec.number_type.upper()
    # Weights that are whole, or a GGUF already, keep the numbers that they have.
    keeps = spec.form not in _NUMBER_TYPES or (spec.form is ExportForm.MERGED and kind is not ModelVersionKind.ADAPTER)
    if keeps or kind is ModelVersionKind.GGUF:
        if number_type:
            raise InvalidArgument(
                f"The form {spec.form.value.replace('_', '-')} of a version of kind {kind.value} keeps its numbers.",
                "Leave the number type out.",
                field="number_type",
            )
        return ""
    types, default = _NUMBER_TYPES[spec.form]
    if number_type and number_type not in types:
        raise InvalidArgument(
            f"Numbers cannot be written as {shown(spec.number_type)}.",
            f"Choose one of {', '.join(types)}.",
            field="number_type",
        )
    return number_type or default


def recipe_of(source: Artifact, base: Artifact | None, spec: ExportSpec, profile_digest: str) -> Artifact:
    """Return by what the same export is known again: the exported files' place, and the digest of all that it reads."""
    # A field that came later changes no digest where it is not set.
    later = {name: value for name, value in (("renderer", spec.renderer), ("parser", spec.parser)) if not value}
    words = {name: value for name, value in asdict(replace(spec, model_id="")).items() if name not in later}
    words |= {"source": source.digest, "base": base and base.digest}
    text = json.dumps(words | {"profile_digest": profile_digest}, sort_keys=True)
    return Artifact(source.uri, f"sha256:{hashlib.sha256(text.encode()).hexdigest()}", source.size_bytes)
