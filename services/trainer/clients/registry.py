"""The registry over gRPC."""

from __future__ import annotations

import grpc.aio
from drillyard.registry.v1 import artifact_pb2, dataset_pb2, model_pb2, registry_service_pb2_grpc, test_suite_pb2

from services.chassis.errors import FailedPrecondition
from services.chassis.waiting import listed
from services.trainer.domain.inputs import Artifact, TrainingInputs
from services.trainer.domain.spec import TrainingJobSpec

_PAGE_SIZE = 1000
# What a loop draws to find out what it has to teach is made as its examples are, and decides nothing.
_PROBE = "loop:"
_WHOLE_WEIGHTS = (
    model_pb2.MODEL_VERSION_KIND_BASE,
    model_pb2.MODEL_VERSION_KIND_MERGED,
    model_pb2.MODEL_VERSION_KIND_TRAINED,
)


class RegistryClient:
    """Answers the port `Registry` from a registry service."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = registry_service_pb2_grpc.RegistryServiceStub(channel)

    async def resolve(self, spec: TrainingJobSpec) -> TrainingInputs:
        """Return what a job of `spec` reads.

        Raises:
            NotFound: There is no such version.
            FailedPrecondition: The model cannot be trained, or the dataset has no train split.
        """
        version = await self._model_version(spec.model_version_id)
        is_adapter = version.kind == model_pb2.MODEL_VERSION_KIND_ADAPTER
        base = await self._model_version(version.base_model_version_id) if is_adapter else version
        dataset = await self._dataset_version(spec.dataset_version_id)
        if dataset.num_train_examples < 1:
            raise FailedPrecondition(
                f"The dataset version {dataset.dataset_version_id} has no example to train on.",
                "Use a version whose train split has rows.",
            )
        other_id = spec.validation_dataset_version_id
        validation = await self._dataset_version(other_id) if other_id else None
        return TrainingInputs(
            model_version_id=version.model_version_id,
            base_model_version_id=base.model_version_id,
            output_model_id=spec.output_model_id or version.model_id,
            base=_weights(base),
            adapter=_artifact(version.artifact) if is_adapter else None,
            dataset_version_id=dataset.dataset_version_id,
            dataset=_artifact(dataset.artifact),
            validation_dataset_version_id=validation.dataset_version_id if validation else "",
            validation=_artifact(validation.artifact) if validation else None,
        )

    async def list_suites(self) -> tuple[tuple[str, Artifact], ...]:
        """Return the id and the cases of every test suite version that tests; what a loop drew to probe does not."""
        request = test_suite_pb2.ListTestSuiteVersionsRequest(page_size=_PAGE_SIZE)
        suites = [suite async for suite in listed(self._stub.ListTestSuiteVersions, request)]
        tests = (suite for suite in suites if not suite.produced_by.startswith(_PROBE))
        return tuple((suite.test_suite_version_id, _artifact(suite.artifact)) for suite in tests)

    async def register_weights(
        self, request_id: str, inputs: TrainingInputs, weights: Artifact, *, is_adapter: bool, produced_by: str
    ) -> str:
        """Register an adapter of the job's base weights, or whole weights that were trained from them.

        Returns the version's id; a request_id gives it once.
        """
        request = model_pb2.CreateModelVersionRequest(
            request_id=request_id,
            model_id=inputs.output_model_id,
            kind=model_pb2.MODEL_VERSION_KIND_ADAPTER if is_adapter else model_pb2.MODEL_VERSION_KIND_TRAINED,
            base_model_version_id=inputs.base_model_version_id if is_adapter else inputs.model_version_id,
            artifact=artifact_pb2.Artifact(uri=weights.uri, digest=weights.digest, size_bytes=weights.size_bytes),
            produced_by=produced_by,
        )
        return (await self._stub.CreateModelVersion(request)).model_version.model_version_id

    async def _model_version(self, model_version_id: str) -> model_pb2.ModelVersion:
        request = model_pb2.GetModelVersionRequest(model_version_id=model_version_id)
        return (await self._stub.GetModelVersion(request)).model_version

    async def _dataset_version(self, dataset_version_id: str) -> dataset_pb2.DatasetVersion:
        request = dataset_pb2.GetDatasetVersionRequest(dataset_version_id=dataset_version_id)
        return (await self._stub.GetDatasetVersion(request)).dataset_version


def _weights(version: model_pb2.ModelVersion) -> Artifact:
    if version.kind not in _WHOLE_WEIGHTS:
        kind = model_pb2.ModelVersionKind.Name(version.kind).removeprefix("MODEL_VERSION_KIND_").lower()
        made_from = version.base_model_version_id
        raise FailedPrecondition(
            f"The model version {version.model_version_id} is of kind {kind}, which cannot be trained.",
            f"Use a base, merged, trained or adapter version{', such as ' + made_from if made_from else ''}.",
        )
    return _artifact(version.artifact)


def _artifact(message: artifact_pb2.Artifact) -> Artifact:
    return Artifact(uri=message.uri, digest=message.digest, size_bytes=message.size_bytes)
