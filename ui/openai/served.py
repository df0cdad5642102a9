"""What answers to a model's name: a version, a deployment, or what an alias points at."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Annotated, TypeVar

from drillyard.registry.v1 import deployment_pb2 as pb
from drillyard.registry.v1.model_pb2 import (
    MODEL_VERSION_KIND_QUANTIZED,
    GetModelVersionRequest,
    ModelVersion,
    ModelVersionKind,
)
from drillyard.test_runner.v1.test_run_pb2 import Endpoint
from drillyard.test_runner.v1.transcript_pb2 import GenerateRequest, RenderPromptRequest
from fastapi import Depends, Request

from services.chassis.errors import InvalidArgument, NotFound, Unavailable
from services.chassis.machine.secrets import deployment_secret
from ui.gateway.clients import Clients
from ui.openai.errors import OpenAIError
from ui.shared.words import kind_text

RequestT = TypeVar("RequestT", GenerateRequest, RenderPromptRequest)
# An alias that was moved answers with its new version within this.
_FRESH_SECONDS = 1.0
_MOST_KEPT = 1000


@dataclass(frozen=True)
class Target:
    """The version that answers, by its own server where `endpoint` is set, and the one that answers unseen."""

    version: ModelVersion
    endpoint: Endpoint | None = None
    alias_id: str = ""
    shadow_model_version_id: str = ""
    evaluation_ids: tuple[str, ...] = ()

    def ask(self, request: RequestT) -> RequestT:
        """Return the request, asked of this target."""
        if self.endpoint is None:
            request.model_version_id = self.version.model_version_id
        else:
            request.endpoint.CopyFrom(self.endpoint)
        return request


class ServedModels:
    """Finds what answers to a name, and remembers it for a second."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._kept: dict[str, tuple[float, Target]] = {}

    async def target(self, model: str) -> Target:
        """Return what answers to "<model_id>@<version>", "<model_id>", "<model_id>:<alias>" or a deployment's id.

        Raises:
            OpenAIError: There is nothing of that name, or it cannot generate.
            Unavailable: Its deployment does not answer now.
        """
        entry = self._kept.get(model)
        if entry and time.monotonic() - entry[0] < _FRESH_SECONDS:
            return entry[1]
        since = time.monotonic()
        try:
            target = await (self._of_alias(model) if ":" in model else self._of_id(model))
        except (NotFound, InvalidArgument) as error:
            raise OpenAIError(str(error), status=404, code="model_not_found", param="model") from None
        if len(self._kept) >= _MOST_KEPT:
            self._kept.clear()
        self._kept[model] = since, target
        return target

    async def _of_alias(self, alias_id: str) -> Target:
        alias = (await self._clients.registry.GetAlias(pb.GetAliasRequest(alias_id=alias_id))).alias
        if alias.deployment_id:
            target = await self._of_deployment(alias.deployment_id)
        else:
            target = await self._of_version(alias.model_version_id)
        return replace(
            target,
            alias_id=alias_id,
            shadow_model_version_id=alias.shadow_model_version_id,
            evaluation_ids=tuple(alias.evaluation_ids),
        )

    async def _of_id(self, model: str) -> Target:
        try:
            return await self._of_version(model)
        except NotFound as error:
            try:
                return await self._of_deployment(model)
            except NotFound:
                raise error from None

    async def _of_deployment(self, deployment_id: str) -> Target:
        request = pb.GetDeploymentRequest(deployment_id=deployment_id)
        deployment = (await self._clients.registry.GetDeployment(request)).deployment
        if deployment.state != pb.DEPLOYMENT_STATE_READY:
            state = pb.DeploymentState.Name(deployment.state).removeprefix("DEPLOYMENT_STATE_").lower()
            raise Unavailable(
                f"The deployment {deployment_id} is {state}: {deployment.reason or 'no reason is known'}."
            )
        return await self._of_version(deployment.spec.model_version_id, endpoint_of(deployment))

    async def _of_version(self, model: str, endpoint: Endpoint | None = None) -> Target:
        request = GetModelVersionRequest(model_version_id=model)
        version = (await self._clients.registry.GetModelVersion(request)).model_version
        if endpoint is None and not can_generate(version):
            kind = kind_text(ModelVersionKind.Name(version.kind))
            problem = f"{version.model_version_id} is of kind {kind}, which only other servers can run."
            raise OpenAIError(problem, status=404, code="model_not_found", param="model")
        return Target(version, endpoint)


def served_models_of(request: Request) -> ServedModels:
    """Return what the application keeps."""
    served: ServedModels = request.app.state.served_models
    return served


ServedModelsOf = Annotated[ServedModels, Depends(served_models_of)]


def endpoint_of(deployment: pb.Deployment) -> Endpoint | None:
    """Return where a deployment answers; None for one that test-runner's workers serve."""
    if not deployment.base_url:
        return None
    has_key = deployment.spec.backend == pb.DEPLOYMENT_BACKEND_LLAMA_SERVER
    return Endpoint(
        base_url=deployment.base_url,
        model=deployment.served_model,
        api_key_secret=deployment_secret(deployment.deployment_id) if has_key else "",
    )


def can_generate(version: ModelVersion) -> bool:
    """Whether test-runner can answer by a version, in its workers or by llama.cpp's server."""
    return bool(version.kind != MODEL_VERSION_KIND_QUANTIZED)
