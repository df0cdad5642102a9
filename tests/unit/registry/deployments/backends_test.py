"""What serves a version: a backend that is not there, cannot, or has no use for a setting is told in words."""

from dataclasses import replace

import pytest

from services.chassis.errors import InvalidArgument, ServiceError
from services.registry.domain.deployment import (
    DeploymentBackend,
    DeploymentSpec,
    check_settings,
    chosen_backend,
)
from services.registry.domain.model import ModelVersionKind

WORKER, LLAMA_SERVER, VLLM = (
    DeploymentBackend.WORKER,
    DeploymentBackend.LLAMA_SERVER,
    DeploymentBackend.KUBERNETES_VLLM,
)
SPEC = DeploymentSpec("tiny@1", WORKER, "", 1, 0, 0)


@pytest.mark.parametrize(
    ("kind", "asked", "available", "words"),
    [
        (
            ModelVersionKind.BASE,
            VLLM,
            {WORKER},
            "This installation has no vLLM in the cluster. Set REGISTRY_KUBERNETES",
        ),
        (ModelVersionKind.GGUF, LLAMA_SERVER, {WORKER}, "This installation has no llama.cpp's server. Put"),
        (
            ModelVersionKind.BASE,
            LLAMA_SERVER,
            {WORKER, LLAMA_SERVER},
            "The backend llama_server cannot serve a version of kind base; vLLM in the cluster or a worker of "
            "test-runner can. Leave the backend open, or name one of kubernetes_vllm, worker.",
        ),
        (
            ModelVersionKind.BASE,
            DeploymentBackend.UNSPECIFIED,
            {LLAMA_SERVER},
            "Nothing here can serve a version of kind base; vLLM in the cluster or a worker of test-runner can.",
        ),
    ],
)
def test_a_version_that_cannot_be_served_so_is_refused_with_what_can(
    kind: ModelVersionKind, asked: DeploymentBackend, available: set[DeploymentBackend], words: str
) -> None:
    with pytest.raises(ServiceError) as refusal:
        chosen_backend(kind, asked, available)
    assert str(refusal.value).startswith(words)


@pytest.mark.parametrize(
    ("setting", "value"), [("image", "vllm:1"), ("num_replicas", 2), ("num_gpus", 1), ("num_ctx", 512)]
)
def test_a_setting_that_a_worker_has_no_use_for_is_refused_and_never_left_unused(
    setting: str, value: str | int
) -> None:
    spec = replace(SPEC, **{setting: value})  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match=f"A worker of test-runner has no use for {setting}"):
        check_settings(spec, WORKER)
    check_settings(SPEC, WORKER)
    check_settings(spec, VLLM)
