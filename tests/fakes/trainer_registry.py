"""A registry on a real gRPC port that holds one model and one dataset, and remembers what is registered."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc.aio
from drillyard.registry.v1 import artifact_pb2, dataset_pb2, model_pb2, registry_service_pb2_grpc

from services.chassis.artifacts import ArtifactStore
from services.chassis.calls import CallInterceptor
from services.chassis.errors import NotFound
from services.chassis.telemetry import Telemetry


@dataclass
class RegistryOfOne(registry_service_pb2_grpc.RegistryServiceServicer):
    """Knows `tiny@1` and `drills@1`; what a trainer registers becomes `<model>@2` and so on."""

    base: artifact_pb2.Artifact
    dataset: artifact_pb2.Artifact
    num_train_examples: int
    registered: list[model_pb2.CreateModelVersionRequest] = field(default_factory=list)
    by_request: dict[str, model_pb2.ModelVersion] = field(default_factory=dict)
    calls: int = 0

    async def GetModelVersion(self, request: Any, context: Any) -> model_pb2.GetModelVersionResponse:
        for version in self.by_request.values():
            if version.model_version_id == request.model_version_id:
                return model_pb2.GetModelVersionResponse(model_version=version)
        if request.model_version_id not in ("tiny", "tiny@1"):
            raise NotFound(f"There is no model version {request.model_version_id}.", "Import the model.")
        version = model_pb2.ModelVersion(
            model_version_id="tiny@1",
            model_id="tiny",
            version=1,
            kind=model_pb2.MODEL_VERSION_KIND_BASE,
            artifact=self.base,
        )
        return model_pb2.GetModelVersionResponse(model_version=version)

    async def GetDatasetVersion(self, request: Any, context: Any) -> dataset_pb2.GetDatasetVersionResponse:
        if request.dataset_version_id not in ("drills", "drills@1"):
            raise NotFound(f"There is no dataset version {request.dataset_version_id}.", "Register the dataset.")
        version = dataset_pb2.DatasetVersion(
            dataset_version_id="drills@1",
            dataset_id="drills",
            version=1,
            artifact=self.dataset,
            num_train_examples=self.num_train_examples,
        )
        return dataset_pb2.GetDatasetVersionResponse(dataset_version=version)

    async def CreateModelVersion(
        self, request: model_pb2.CreateModelVersionRequest, context: Any
    ) -> model_pb2.CreateModelVersionResponse:
        self.calls += 1
        if request.request_id not in self.by_request:
            self.registered.append(request)
            number = len(self.registered) + 1
            self.by_request[request.request_id] = model_pb2.ModelVersion(
                model_version_id=f"{request.model_id}@{number}",
                model_id=request.model_id,
                version=number,
                kind=request.kind,
                base_model_version_id=request.base_model_version_id,
                artifact=request.artifact,
            )
        return model_pb2.CreateModelVersionResponse(model_version=self.by_request[request.request_id])


@contextlib.asynccontextmanager
async def serve_registry(
    data_dir: Path, model_folder: Path, rows: list[dict[str, Any]]
) -> AsyncIterator[tuple[str, RegistryOfOne]]:
    """Put the model and the rows under the data folder as a registry does, and serve them: (address, registry)."""
    artifacts = ArtifactStore((data_dir / "registry" / "artifacts").as_uri())
    base = await artifacts.put_tree(model_folder)
    dataset = await artifacts.put_bytes("".join(json.dumps(row) + "\n" for row in rows).encode())
    registry = RegistryOfOne(  # type: ignore[abstract]
        base=artifact_pb2.Artifact(uri=base.uri, digest=base.digest, size_bytes=base.size_bytes),
        dataset=artifact_pb2.Artifact(uri=dataset.uri, digest=dataset.digest, size_bytes=dataset.size_bytes),
        num_train_examples=sum(row["split"] == "train" for row in rows),
    )
    server = grpc.aio.server(interceptors=[CallInterceptor(Telemetry())])
    registry_service_pb2_grpc.add_RegistryServiceServicer_to_server(registry, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}", registry
    finally:
        await server.stop(0)


def dataset_rows(num_train: int, *, words: int = 6) -> list[dict[str, Any]]:
    """Return train rows behind one system prompt, each with another task and answer."""
    system = "You answer in tags. " * 4
    rows = []
    for number in range(num_train):
        code = hashlib.sha256(str(number).encode()).hexdigest()
        task = " ".join(code[place : place + 4] for place in range(0, 4 * words, 4))
        messages = [
            {"role": "system", "content": system},
            {"role": "user", "content": f"Read {task}"},
            {"role": "assistant", "content": f"<read_file><path>{code[:8]}</path></read_file>"},
        ]
        rows.append({"example_id": f"e{number}", "split": "train", "profile_id": "roo_xml", "messages": messages})
    return rows
