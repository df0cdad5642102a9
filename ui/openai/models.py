"""The models that can be asked."""

from __future__ import annotations

from typing import Any

from drillyard.registry.v1 import deployment_pb2 as pb
from drillyard.registry.v1.model_pb2 import ListModelVersionsRequest, ModelVersion
from fastapi import APIRouter

from ui.gateway.clients import every
from ui.openai.errors import ERROR_RESPONSES, OpenAIRoute
from ui.openai.served import ServedModelsOf, can_generate
from ui.shared.documents import ClientsOf, Document

router = APIRouter(tags=["OpenAI"], route_class=OpenAIRoute, responses=ERROR_RESPONSES)
_MOST = 1000
_DEFAULT_ANSWER_TOKENS = 1024


@router.get("/models")
async def list_models(clients: ClientsOf) -> Document:
    """List what can be asked: aliases, deployments that are ready, and model versions, newest first."""
    registry = clients.registry
    versions = await every(registry.ListModelVersions, ListModelVersionsRequest(), "model_versions", _MOST)
    aliases = await every(registry.ListAliases, pb.ListAliasesRequest(), "aliases", _MOST)
    deployments = await every(registry.ListDeployments, pb.ListDeploymentsRequest(), "deployments", _MOST)
    by_id = {version.model_version_id: version for version in versions}
    named = [
        *((alias.alias_id, alias.model_version_id) for alias in aliases),
        *((entry.deployment_id, entry.spec.model_version_id) for entry in deployments if _is_ready(entry)),
        *((version.model_version_id, version.model_version_id) for version in versions if can_generate(version)),
    ]
    # What a page of versions does not hold is older than a thousand others.
    return {
        "object": "list",
        "data": [_model(name, by_id[version_id]) for name, version_id in named if version_id in by_id],
    }


@router.get("/models/{model:path}")
async def get_model(served: ServedModelsOf, model: str) -> Document:
    """Return what answers to a name; a model's id alone gives its newest version."""
    target = await served.target(model)
    return _model(target.alias_id or target.version.model_version_id, target.version)


def default_answer_tokens(version: ModelVersion) -> int:
    """Return how long a chat answer may be when the request does not say: 1,024, or a quarter of a short context."""
    return min(_DEFAULT_ANSWER_TOKENS, version.context_length // 4 or _DEFAULT_ANSWER_TOKENS)


def _is_ready(deployment: pb.Deployment) -> bool:
    return deployment.state == pb.DEPLOYMENT_STATE_READY


def _model(name: str, version: ModelVersion) -> dict[str, Any]:
    return {
        "id": name,
        "object": "model",
        "created": version.create_time.seconds,
        "owned_by": "drillyard",
        "context_length": version.context_length,
        "model_version_id": version.model_version_id,
    }
