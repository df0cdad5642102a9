"""The real registry in this process, with one model and one dataset to train on."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from drillyard.registry.v1 import artifact_pb2, dataset_pb2, model_pb2, registry_service_pb2_grpc

from services.chassis.artifacts import Artifact, ArtifactStore
from services.chassis.channel import open_channel
from services.protocols.cases import case_to_document
from services.protocols.profile import get_profile
from services.registry import __main__ as registry
from tests.fakes.system.services import started

Rows = list[dict[str, Any]]
# What a row needs besides what is trained on.
_OTHER_FIELDS = {
    "tool": "read_file",
    "cause": "none",
    "case": case_to_document(get_profile("roo_xml").suites()[0].cases[0]),
}


class TrainerRegistry:
    """Calls of a registry that knows `tiny@1` and `drills@1`."""

    def __init__(self, address: str, stub: Any, data_dir: Path) -> None:
        self.address, self._stub = address, stub
        self._files = ArtifactStore((data_dir / "made_up").as_uri())

    async def add_model(self, folder: Path) -> None:
        """Register a model folder as the next version of `tiny`."""
        artifact, kind = _artifact(await self._files.put_tree(folder)), model_pb2.MODEL_VERSION_KIND_BASE
        request = model_pb2.CreateModelVersionRequest(model_id="tiny", kind=kind, artifact=artifact)
        await self._stub.CreateModelVersion(request)

    async def add_dataset(self, dataset_id: str, rows: Rows) -> None:
        """Register rows as the next version of a dataset."""
        content = "".join(json.dumps(_OTHER_FIELDS | row) + "\n" for row in rows).encode()
        artifact = _artifact(await self._files.put_bytes(content))
        await self._stub.CreateDatasetVersion(
            dataset_pb2.CreateDatasetVersionRequest(dataset_id=dataset_id, artifact=artifact)
        )

    async def trained(self) -> list[model_pb2.ModelVersion]:
        """Return what was registered besides the model, oldest first."""
        listed = await self._stub.ListModelVersions(model_pb2.ListModelVersionsRequest(model_id="tiny"))
        return list(listed.model_versions)[-2::-1]


@asynccontextmanager
async def serve_registry(data_dir: Path, model_folder: Path, rows: Rows) -> AsyncIterator[TrainerRegistry]:
    """Serve a registry below the data folder that knows the model as `tiny@1` and the rows as `drills@1`."""
    settings = registry.RegistrySettings(data_dir=data_dir, drain_grace_seconds=0.2)
    async with started("registry", registry, settings) as (address, _), open_channel(address) as channel:
        served = TrainerRegistry(address, registry_service_pb2_grpc.RegistryServiceStub(channel), data_dir)
        await served.add_model(model_folder)
        await served.add_dataset("drills", rows)
        yield served


def _artifact(stored: Artifact) -> artifact_pb2.Artifact:
    return artifact_pb2.Artifact(uri=stored.uri, digest=stored.digest, size_bytes=stored.size_bytes)
