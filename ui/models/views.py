"""Models, imports, suites and datasets as a person sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from drillyard.registry.v1.dataset_pb2 import DatasetVersion
from drillyard.registry.v1.import_pb2 import Import
from drillyard.registry.v1.model_pb2 import ModelVersion, ModelVersionKind
from drillyard.registry.v1.test_suite_pb2 import TestSuiteVersion

from ui.shared.jobs import JobView, job_view
from ui.shared.words import count_text, size_text, time_text


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


@dataclass(frozen=True)
class ImportView:
    """One import at work or ended."""

    import_id: str
    model_id: str
    source: str
    model_version_id: str
    job: JobView
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class SuiteView:
    """One suite version."""

    test_suite_version_id: str
    num_cases: int
    built_in: bool
    digest: str
    produced_by: str


@dataclass(frozen=True)
class DatasetView:
    """One dataset version."""

    dataset_version_id: str
    num_train_examples: int
    num_validation_examples: int
    produced_by: str


def model_tree(versions: Sequence[ModelVersion]) -> list[ModelVersionView]:
    """Return the versions as a tree in reading order: parents before children, newest family first."""
    known = {one.model_version_id for one in versions}
    children: dict[str, list[ModelVersion]] = {}
    for one in versions:
        parent = one.base_model_version_id if one.base_model_version_id in known else ""
        children.setdefault(parent, []).append(one)
    found: list[ModelVersionView] = []
    waiting = [(one, 0) for one in reversed(children.get("", []))]
    while waiting:
        one, depth = waiting.pop()
        found.append(model_version_view(one, depth))
        newest_last = children.get(one.model_version_id, [])
        waiting += [(child, depth + 1) for child in newest_last]
    return found


def model_version_view(one: ModelVersion, depth: int = 0) -> ModelVersionView:
    """Return the view of a model version."""
    return ModelVersionView(
        model_version_id=one.model_version_id,
        kind=ModelVersionKind.Name(one.kind).removeprefix("MODEL_VERSION_KIND_").lower(),
        base_model_version_id=one.base_model_version_id,
        produced_by=maker(one.produced_by),
        architecture=one.architecture,
        parameters=count_text(one.num_parameters),
        context_length=one.context_length,
        size=size_text(one.artifact.size_bytes),
        digest=one.artifact.digest,
        source_uri=one.source.uri,
        source_digest=one.source.digest,
        created=time_text(one.create_time),
        depth=depth,
    )


def maker(produced_by: str) -> str:
    """Return the id of the job that made something, without its kind in front."""
    return produced_by.rpartition(":")[2]


def import_view(one: Import) -> ImportView:
    """Return the view of an import."""
    place = one.source.WhichOneof("source")
    source = str(getattr(one.source, place)) if place else ""
    return ImportView(one.import_id, one.model_id, source, one.model_version_id, job_view(one.job), tuple(one.notes))


def suite_view(one: TestSuiteVersion) -> SuiteView:
    """Return the view of a suite version."""
    return SuiteView(
        one.test_suite_version_id, one.num_cases, one.built_in, one.artifact.digest, maker(one.produced_by)
    )


def dataset_view(one: DatasetVersion) -> DatasetView:
    """Return the view of a dataset version."""
    return DatasetView(
        one.dataset_version_id, one.num_train_examples, one.num_validation_examples, maker(one.produced_by)
    )
