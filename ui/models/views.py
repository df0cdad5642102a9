"""Models, imports, suites and datasets as a person sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from drillyard.registry.v1.import_pb2 import Import
from drillyard.registry.v1.model_pb2 import ModelVersion, ModelVersionKind

from ui.shared.jobs import JobView, job_view
from ui.shared.words import count_text, kind_text, size_text, time_text


@dataclass(frozen=True)
class ModelVersionView:
    """One immutable set of weights; `depth` is its distance from an imported ancestor."""

    model_version_id: str
    kind: str
    base_model_version_id: str
    produced_by: str
    architecture: str
    parameters: str
    context_length: int
    size: str
    digest: str
    source_uri: str
    source_digest: str
    created: str
    depth: int
    licence: str = ""

    @property
    def is_trainable(self) -> bool:
        """Whether training can begin from it."""
        return self.kind in ("base", "adapter", "merged", "trained")


@dataclass(frozen=True)
class ImportView:
    """One import at work or ended."""

    import_id: str
    model_id: str
    source: str
    model_version_id: str
    job: JobView
    notes: tuple[str, ...] = ()


def model_tree(versions: Sequence[ModelVersion]) -> list[ModelVersionView]:
    """Return the versions as a tree in reading order: parents before children, newest family first."""
    names = {version.model_version_id for version in versions}
    children: dict[str, list[ModelVersion]] = {}
    for version in versions:
        parent = version.base_model_version_id if version.base_model_version_id in names else ""
        children.setdefault(parent, []).append(version)
    model_versions: list[ModelVersionView] = []
    waiting = [(item, 0) for item in reversed(children.get("", []))]
    while waiting:
        version, depth = waiting.pop()
        model_versions.append(model_version_view(version, depth))
        newest_last = children.get(version.model_version_id, [])
        waiting += [(child, depth + 1) for child in newest_last]
    return model_versions


def model_version_view(model_version: ModelVersion, depth: int = 0) -> ModelVersionView:
    """Return the view of a model version."""
    return ModelVersionView(
        model_version_id=model_version.model_version_id,
        kind=kind_text(ModelVersionKind.Name(model_version.kind)),
        base_model_version_id=model_version.base_model_version_id,
        produced_by=maker(model_version.produced_by),
        architecture=model_version.architecture,
        parameters=count_text(model_version.num_parameters),
        context_length=model_version.context_length,
        size=size_text(model_version.artifact.size_bytes),
        digest=model_version.artifact.digest,
        source_uri=model_version.source.uri,
        source_digest=model_version.source.digest,
        created=time_text(model_version.create_time),
        depth=depth,
        licence=model_version.licence,
    )


def maker(produced_by: str) -> str:
    """Return the id of the job that made something, without its kind in front."""
    return produced_by.rpartition(":")[2]


def import_view(item: Import) -> ImportView:
    """Return the view of an import."""
    place = item.source.WhichOneof("source")
    source = item.source.artifact.uri if place == "artifact" else str(getattr(item.source, place or "url"))
    return ImportView(
        item.import_id, item.model_id, source, item.model_version_id, job_view(item.job), tuple(item.notes)
    )
