"""The models that can be asked."""

from __future__ import annotations

from typing import Any

from drillyard.registry.v1.model_pb2 import (
    MODEL_VERSION_KIND_GGUF,
    MODEL_VERSION_KIND_GGUF_ADAPTER,
    MODEL_VERSION_KIND_OLLAMA,
    MODEL_VERSION_KIND_QUANTIZED,
    GetModelVersionRequest,
    ListModelVersionsRequest,
    ModelVersion,
    ModelVersionKind,
)
from fastapi import APIRouter

from services.chassis.errors import InvalidArgument, NotFound
from ui.gateway.clients import Clients, every
from ui.openai.errors import OpenAIError, OpenAIRoute
from ui.shared.documents import ClientsOf, Document
from ui.shared.words import kind_text

router = APIRouter(tags=["OpenAI"], route_class=OpenAIRoute)
_MOST = 1000
_OF_OTHER_SERVERS = (
    MODEL_VERSION_KIND_QUANTIZED,
    MODEL_VERSION_KIND_GGUF,
    MODEL_VERSION_KIND_GGUF_ADAPTER,
    MODEL_VERSION_KIND_OLLAMA,
)
_DEFAULT_ANSWER_TOKENS = 1024


@router.get("/models")
async def list_models(clients: ClientsOf) -> Document:
    """List the model versions that can generate, newest first."""
    request = ListModelVersionsRequest()
    model_versions = await every(clients.registry.ListModelVersions, request, "model_versions", _MOST)
    return {
        "object": "list",
        "data": [_model(model_version) for model_version in model_versions if _can_generate(model_version)],
    }


@router.get("/models/{model:path}")
async def get_model(clients: ClientsOf, model: str) -> Document:
    """Return one model version; a model's id alone gives its newest."""
    return _model(await version_of(clients, model))


async def version_of(clients: Clients, model: str) -> ModelVersion:
    """Return the version that `model` names: "<model_id>@<version>", or "<model_id>" for the newest.

    Raises:
        OpenAIError: There is none, or it cannot generate.
    """
    try:
        model_version = (
            await clients.registry.GetModelVersion(GetModelVersionRequest(model_version_id=model))
        ).model_version
    except (NotFound, InvalidArgument) as error:
        raise OpenAIError(str(error), status=404, code="model_not_found", param="model") from None
    if not _can_generate(model_version):
        kind = kind_text(ModelVersionKind.Name(model_version.kind))
        problem = f"{model_version.model_version_id} is of kind {kind}, which only other servers can run."
        raise OpenAIError(problem, status=404, code="model_not_found", param="model")
    return model_version


def default_answer_tokens(version: ModelVersion) -> int:
    """Return how long a chat answer may be when the request does not say: 1,024, or a quarter of a short context."""
    return min(_DEFAULT_ANSWER_TOKENS, version.context_length // 4 or _DEFAULT_ANSWER_TOKENS)


def _can_generate(version: ModelVersion) -> bool:
    return version.kind not in _OF_OTHER_SERVERS


def _model(model_version: ModelVersion) -> dict[str, Any]:
    facts = {
        "id": model_version.model_version_id,
        "object": "model",
        "created": model_version.create_time.seconds,
        "owned_by": "drillyard",
    }
    return facts | {"context_length": model_version.context_length}
