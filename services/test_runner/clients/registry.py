"""The registry over gRPC."""

import json

import grpc.aio
from drillyard.registry.v1 import (
    artifact_pb2,
    deployment_pb2,
    deployment_test_pb2,
    model_pb2,
    registry_service_pb2_grpc,
    test_suite_pb2,
)

from services.chassis.errors import FailedPrecondition
from services.protocols.cases import Case, CaseError, case_from_document
from services.test_runner.domain.test_run import Artifact, Form
from services.test_runner.ports.registry import CasePage, ResolvedModel, ResolvedSuite, WorkerDeployment

_PAGE_SIZE = 100
_WHOLE_WEIGHTS = (
    model_pb2.MODEL_VERSION_KIND_BASE,
    model_pb2.MODEL_VERSION_KIND_MERGED,
    model_pb2.MODEL_VERSION_KIND_TRAINED,
)
_UNANSWERED = (deployment_pb2.DEPLOYMENT_STATE_STARTING, deployment_pb2.DEPLOYMENT_STATE_FAILED)
_FORMS = {
    model_pb2.MODEL_VERSION_KIND_GGUF: Form.GGUF,
    model_pb2.MODEL_VERSION_KIND_GGUF_ADAPTER: Form.GGUF,
    model_pb2.MODEL_VERSION_KIND_OLLAMA: Form.OLLAMA,
}


class RegistryClient:
    """Answers the ports `Registry` and `Deployments` from a registry service."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = registry_service_pb2_grpc.RegistryServiceStub(channel)

    async def resolve_model(self, model_version_id: str) -> ResolvedModel:
        """Return what a version, or the newest of a model, is made of.

        Raises:
            NotFound: There is no such version.
            FailedPrecondition: It is of a kind that cannot generate.
        """
        version = await self._model_version(model_version_id)
        if version.kind in _FORMS:
            return await self._resolve_form(version)
        weights, adapter = version, None
        if version.kind == model_pb2.MODEL_VERSION_KIND_ADAPTER:
            weights, adapter = await self._model_version(version.base_model_version_id), _artifact(version.artifact)
        return ResolvedModel(version.model_version_id, _weights(weights), adapter)

    async def resolve_suite(self, test_suite_version_id: str) -> ResolvedSuite:
        """Return a suite version, or the newest of a suite.

        Raises:
            NotFound: There is no such version.
        """
        request = test_suite_pb2.GetTestSuiteVersionRequest(test_suite_version_id=test_suite_version_id)
        version = (await self._stub.GetTestSuiteVersion(request)).test_suite_version
        return ResolvedSuite(
            version.test_suite_version_id, version.artifact.digest, version.profile_id, version.num_cases
        )

    async def list_cases(self, test_suite_version_id: str, page_token: str) -> CasePage:
        """Return the page of a suite version's cases that begins at the token; empty for the first.

        Raises:
            FailedPrecondition: A case is not one that this release can read.
        """
        request = test_suite_pb2.ListTestCasesRequest(
            test_suite_version_id=test_suite_version_id, page_size=_PAGE_SIZE, page_token=page_token
        )
        page = await self._stub.ListTestCases(request)
        return CasePage(tuple(_case(entry) for entry in page.test_cases), page.next_page_token)

    async def unanswered(self) -> list[WorkerDeployment]:
        """Return the deployments by workers that are starting or have failed."""
        request, found = deployment_pb2.ListDeploymentsRequest(page_size=_PAGE_SIZE), []
        while True:
            page = await self._stub.ListDeployments(request)
            found += [
                WorkerDeployment(entry.deployment_id, entry.spec.model_version_id)
                for entry in page.deployments
                if entry.spec.backend == deployment_pb2.DEPLOYMENT_BACKEND_WORKER
                and entry.state in _UNANSWERED
                # What does not pass its suite has answered.
                and entry.test.outcome != deployment_test_pb2.DEPLOYMENT_TEST_OUTCOME_FAILED
            ]
            request.page_token = page.next_page_token
            if not request.page_token:
                return found

    async def report(self, deployment_id: str, *, reason: str, has_failed: bool) -> None:
        """Tell how a deployment stands; without a reason it has answered."""
        state = deployment_pb2.DEPLOYMENT_STATE_STARTING if reason else deployment_pb2.DEPLOYMENT_STATE_READY
        if has_failed:
            state = deployment_pb2.DEPLOYMENT_STATE_FAILED
        await self._stub.ReportDeployment(
            deployment_pb2.ReportDeploymentRequest(deployment_id=deployment_id, state=state, reason=reason)
        )

    async def _resolve_form(self, form: model_pb2.ModelVersion) -> ResolvedModel:
        original: model_pb2.ModelVersion | None = form
        while original is not None and original.kind not in _WHOLE_WEIGHTS:
            base = original.base_model_version_id
            original = await self._model_version(base) if base else None
        weights, adapter = form, None
        if form.kind == model_pb2.MODEL_VERSION_KIND_GGUF_ADAPTER:
            weights, adapter = await self._gguf_of(form, original), _artifact(form.artifact)
        return ResolvedModel(
            form.model_version_id,
            _artifact(weights.artifact),
            adapter,
            form=_FORMS[form.kind],
            num_context_tokens=form.context_length or (original.context_length if original else 0),
            original=_artifact(original.artifact) if original else None,
        )

    async def _gguf_of(
        self, adapter: model_pb2.ModelVersion, original: model_pb2.ModelVersion | None
    ) -> model_pb2.ModelVersion:
        """Return the newest GGUF form of the weights that a GGUF adapter is made for."""
        name = original.model_version_id if original else "its base"
        request = model_pb2.ListModelVersionsRequest(page_size=_PAGE_SIZE)
        while original is not None:
            page = await self._stub.ListModelVersions(request)
            for version in page.model_versions:
                is_gguf = version.kind == model_pb2.MODEL_VERSION_KIND_GGUF
                if is_gguf and version.base_model_version_id == original.model_version_id:
                    return version
            request.page_token = page.next_page_token
            if not request.page_token:
                break
        raise FailedPrecondition(
            f"The adapter {adapter.model_version_id} is put on a GGUF form of {name}, and there is none.",
            f"Export one: `drillyard models export {name} --as gguf:BF16`.",
        )

    async def _model_version(self, model_version_id: str) -> model_pb2.ModelVersion:
        request = model_pb2.GetModelVersionRequest(model_version_id=model_version_id)
        return (await self._stub.GetModelVersion(request)).model_version


def _weights(version: model_pb2.ModelVersion) -> Artifact:
    if version.kind not in _WHOLE_WEIGHTS:
        kind = model_pb2.ModelVersionKind.Name(version.kind).removeprefix("MODEL_VERSION_KIND_").lower()
        made_from = version.base_model_version_id
        raise FailedPrecondition(
            f"The model version {version.model_version_id} is of kind {kind}, which this backend cannot load.",
            f"Use a base, merged, trained or adapter version{', such as ' + made_from if made_from else ''}.",
        )
    return _artifact(version.artifact)


def _artifact(message: artifact_pb2.Artifact) -> Artifact:
    return Artifact(uri=message.uri, digest=message.digest)


def _case(entry: test_suite_pb2.TestCase) -> Case:
    try:
        return case_from_document(json.loads(entry.document))
    except (CaseError, ValueError) as error:
        raise FailedPrecondition(
            f"The case {entry.case_id[:100]!r} cannot be read: {str(error)[:200]}.",
            "Run the same release of Drillyard in all services, or register the suite again.",
        ) from error
