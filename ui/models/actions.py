"""Reading what the registry holds."""

from __future__ import annotations

from drillyard.registry.v1 import dataset_pb2, import_pb2, model_pb2, test_suite_pb2
from drillyard.registry.v1.dataset_pb2 import DatasetVersion
from drillyard.registry.v1.test_suite_pb2 import TestSuiteVersion

from ui.gateway.clients import Clients, every
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


async def start_import(clients: Clients, model_id: str, path: str) -> ImportView:
    """Start to import the GGUF file, or the Hugging Face folder, at `path` on the registry's machine."""
    is_gguf = path.lower().endswith(".gguf")
    source = import_pb2.ImportSource(gguf_path=path) if is_gguf else import_pb2.ImportSource(folder_path=path)
    request = import_pb2.CreateImportRequest(model_id=model_id, source=source)
    return import_view((await clients.registry.CreateImport(request)).model_import)


async def read_suites(clients: Clients) -> list[TestSuiteVersion]:
    """Return all suite versions: first the one that most people want, then what else ships with the product."""
    request = test_suite_pb2.ListTestSuiteVersionsRequest()
    versions = await every(clients.registry.ListTestSuiteVersions, request, "test_suite_versions", _MOST)
    return sorted(versions, key=lambda suite: (suite.test_suite_version_id != _FIRST_SUITE, not suite.built_in))


async def read_datasets(clients: Clients) -> list[DatasetVersion]:
    """Return all dataset versions, newest first."""
    request = dataset_pb2.ListDatasetVersionsRequest()
    return await every(clients.registry.ListDatasetVersions, request, "dataset_versions", _MOST)
