"""What the registry holds, and imports into it."""

from __future__ import annotations

from dataclasses import dataclass

from drillyard.registry.v1 import dataset_pb2, import_pb2, model_pb2, test_suite_pb2
from drillyard.registry.v1.artifact_pb2 import Artifact
from drillyard.registry.v1.dataset_pb2 import DatasetVersion
from drillyard.registry.v1.test_suite_pb2 import TestSuiteVersion

from services.chassis.errors import InvalidArgument
from ui.gateway.clients import Clients, every
from ui.models.sources import read_source
from ui.models.views import ImportView, ModelVersionView, import_view, model_tree

NUM_RECENT = 10
_MOST = 1000
_FIRST_SUITE = "roo_xml/core@1"


async def read_models(clients: Clients) -> list[ModelVersionView]:
    """Return all model versions as a tree in reading order."""
    request = model_pb2.ListModelVersionsRequest()
    return model_tree(await every(clients.registry.ListModelVersions, request, "model_versions", _MOST))


async def read_imports(clients: Clients) -> list[ImportView]:
    """Return the newest imports."""
    listed = await clients.registry.ListImports(import_pb2.ListImportsRequest(page_size=NUM_RECENT))
    return [import_view(item) for item in listed.imports]


@dataclass(frozen=True)
class NewImport:
    """What a person filled in; an upload's artifact stands in place of the source."""

    source: str
    model_id: str = ""
    base: str = ""
    secret: str = ""
    artifact: Artifact | None = None


async def start_import(clients: Clients, new: NewImport) -> ImportView:
    """Start an import from wherever the words lead.

    Raises:
        InvalidArgument: There are none, or they lead nowhere.
    """
    place = read_source(new.source)
    if not new.source.strip() and new.artifact is None:
        raise InvalidArgument("There is no source.", "Say where the model comes from, or upload it.", field="source")
    request = import_pb2.CreateImportRequest(
        model_id=new.model_id or place.model_id, base_model_version_id=new.base, secret=new.secret
    )
    if new.artifact:
        request.source.artifact.CopyFrom(new.artifact)
    else:
        setattr(request.source, place.field, place.value)
    return import_view((await clients.registry.CreateImport(request)).model_import)


async def cancel_import(clients: Clients, import_id: str) -> ImportView:
    """Cancel an import; what it fetched is removed with it."""
    request = import_pb2.CancelImportRequest(import_id=import_id)
    return import_view((await clients.registry.CancelImport(request)).model_import)


async def read_suites(clients: Clients) -> list[TestSuiteVersion]:
    """Return all suite versions: first the one that most people want, then what else ships with the product."""
    request = test_suite_pb2.ListTestSuiteVersionsRequest()
    versions = await every(clients.registry.ListTestSuiteVersions, request, "test_suite_versions", _MOST)
    return sorted(versions, key=lambda suite: (suite.test_suite_version_id != _FIRST_SUITE, not suite.built_in))


async def read_datasets(clients: Clients) -> list[DatasetVersion]:
    """Return all dataset versions, newest first."""
    request = dataset_pb2.ListDatasetVersionsRequest()
    return await every(clients.registry.ListDatasetVersions, request, "dataset_versions", _MOST)
