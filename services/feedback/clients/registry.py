"""The registry over gRPC."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import grpc.aio
from drillyard.registry.v1 import (
    artifact_pb2,
    dataset_pb2,
    deployment_pb2,
    model_pb2,
    registry_service_pb2_grpc,
    test_suite_pb2,
)

from services.chassis.artifacts import Artifact
from services.chassis.errors import Aborted, FailedPrecondition, NotFound
from services.chassis.waiting import listed, patiently
from services.feedback.domain.work import Registration, SuiteVersion
from services.protocols.cases import Case, CaseError, case_from_document

_PEER = "the registry"
_PAGE_SIZE = 200
_PROBE = "loop:"


class GrpcRegistry:
    """Implements `ports.neighbours.Registry`; what jobs call is patient, what requests ask is not."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = registry_service_pb2_grpc.RegistryServiceStub(channel)

    async def resolve_model(self, model_version_id: str) -> str:
        """Return the version's id, the newest one's for a model's id.

        Raises:
            NotFound: There is no such version.
        """
        request = model_pb2.GetModelVersionRequest(model_version_id=model_version_id)
        response = await self._stub.GetModelVersion(request)
        return str(response.model_version.model_version_id)

    async def is_adapter(self, model_version_id: str) -> bool:
        """Return whether a version is an adapter, which a training goes on with."""
        request = model_pb2.GetModelVersionRequest(model_version_id=model_version_id)
        response = await patiently(lambda: self._stub.GetModelVersion(request), _PEER)
        return bool(response.model_version.kind == model_pb2.MODEL_VERSION_KIND_ADAPTER)

    async def resolve_watched(self, name: str) -> str:
        """Return the version that an alias points at, a version's own id, or the newest one's for a model's id.

        Raises:
            NotFound: There is no such alias or version.
        """
        if ":" not in name:
            return await self.resolve_model(name)
        request = deployment_pb2.GetAliasRequest(alias_id=name)
        return str((await self._stub.GetAlias(request)).alias.model_version_id)

    async def resolve_suite(self, test_suite_version_id: str) -> SuiteVersion:
        """Return the version, the newest one for a suite's id.

        Raises:
            NotFound: There is no such version.
        """
        request = test_suite_pb2.GetTestSuiteVersionRequest(test_suite_version_id=test_suite_version_id)
        suite = (await self._stub.GetTestSuiteVersion(request)).test_suite_version
        return SuiteVersion(suite.test_suite_version_id, suite.profile_id, suite.num_cases)

    async def list_test_suites(self) -> tuple[str, ...]:
        """Return every suite version that tests; what a loop drew to probe does not."""
        request = test_suite_pb2.ListTestSuiteVersionsRequest(page_size=_PAGE_SIZE)
        suites = [suite async for suite in listed(self._stub.ListTestSuiteVersions, request, _PEER)]
        return tuple(suite.test_suite_version_id for suite in suites if not suite.produced_by.startswith(_PROBE))

    async def list_cases(self, test_suite_version_id: str) -> tuple[Case, ...]:
        """Return all cases of a suite version in its order.

        Raises:
            FailedPrecondition: This version of the program cannot read one of them.
        """
        request = test_suite_pb2.ListTestCasesRequest(test_suite_version_id=test_suite_version_id, page_size=_PAGE_SIZE)
        return tuple([_case(case) async for case in listed(self._stub.ListTestCases, request, _PEER)])

    async def register_suite(self, request_id: str, registration: Registration) -> str:
        """Register a suite version once per request id and return its id."""
        request = test_suite_pb2.CreateTestSuiteVersionRequest(
            request_id=request_id,
            test_suite_id=registration.name,
            artifact=_artifact(registration.artifact),
            produced_by=registration.produced_by,
        )
        response = await patiently(lambda: self._stub.CreateTestSuiteVersion(request), _PEER)
        return str(response.test_suite_version.test_suite_version_id)

    async def set_alias(self, alias_id: str, model_version_id: str, evaluation_id: str) -> None:
        """Let an alias, "<model_id>:<name>", point at a version for which an evaluation speaks, if it does not yet."""

        async def move() -> None:
            current = await self._alias(alias_id)
            if current.model_version_id == model_version_id:
                return
            request = deployment_pb2.SetAliasRequest(
                alias_id=alias_id,
                model_version_id=model_version_id,
                evaluation_ids=[evaluation_id],
                expected_revision=current.revision,
            )
            await self._stub.SetAlias(request)

        while True:
            try:
                return await patiently(move, _PEER)
            except Aborted:
                # Someone moved it between the two calls; the next look sees where it is.
                continue

    async def _alias(self, alias_id: str) -> deployment_pb2.Alias:
        try:
            return (await self._stub.GetAlias(deployment_pb2.GetAliasRequest(alias_id=alias_id))).alias
        except NotFound:
            return deployment_pb2.Alias()

    async def register_dataset(self, request_id: str, registration: Registration) -> str:
        """Register a dataset version once per request id and return its id."""
        request = dataset_pb2.CreateDatasetVersionRequest(
            request_id=request_id,
            dataset_id=registration.name,
            artifact=_artifact(registration.artifact),
            produced_by=registration.produced_by,
        )
        response = await patiently(lambda: self._stub.CreateDatasetVersion(request), _PEER)
        return str(response.dataset_version.dataset_version_id)

    async def resolve_dataset(self, dataset_version_id: str) -> str:
        """Return the version's id, the newest one's for a dataset's id.

        Raises:
            NotFound: There is no such version.
        """
        request = dataset_pb2.GetDatasetVersionRequest(dataset_version_id=dataset_version_id)
        return str((await self._stub.GetDatasetVersion(request)).dataset_version.dataset_version_id)

    async def dataset_rows(self, dataset_version_id: str) -> AsyncIterator[str]:
        """Yield the rows of a dataset version in their order, as JSON text."""
        request = dataset_pb2.ListDatasetRowsRequest(dataset_version_id=dataset_version_id, page_size=_PAGE_SIZE)
        async for row in listed(self._stub.ListDatasetRows, request, _PEER):
            yield row.document


def _artifact(artifact: Artifact) -> artifact_pb2.Artifact:
    return artifact_pb2.Artifact(uri=artifact.uri, digest=artifact.digest, size_bytes=artifact.size_bytes)


def _case(case: test_suite_pb2.TestCase) -> Case:
    try:
        return case_from_document(json.loads(case.document))
    except (json.JSONDecodeError, CaseError) as error:
        raise FailedPrecondition(
            f"The case {case.case_id[:80]!a} of the suite cannot be read: {error}.",
            "Use a suite that was registered with this version of Drillyard.",
        ) from error
