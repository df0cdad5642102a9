"""Versions served by a Deployment and a Service of the cluster, which the registry labels and owns."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from http import HTTPStatus
from pathlib import Path

import httpx2

from services.chassis.artifacts.tree import FILES
from services.chassis.errors import FailedPrecondition
from services.chassis.machine.kubernetes.client import KubernetesClient, Manifest
from services.registry.deployers.kubernetes_objects import (
    LABEL,
    PORT,
    Cluster,
    Served,
    deployment_object,
    name_of,
    service_object,
    status_of,
)
from services.registry.domain.deployment import Deployment, DeploymentState, DeploymentStatus, ServedVersion
from services.registry.domain.model import ModelVersion, ModelVersionKind

_ANSWER_SECONDS = 60.0
# What is ready is looked at more rarely than what is on its way.
_READY_SECONDS = 5.0
_MAX_WORDS = 400
Recipe = Callable[[Deployment, ServedVersion, str], Served]


class KubernetesApi:
    """The calls of a cluster that a deployment needs.

    Args:
        namespace: Everything is in this one.
        config: A kubeconfig; None for the service account of this pod.
    """

    def __init__(self, namespace: str, config: Path | None = None) -> None:
        self._namespace, self._client = namespace, KubernetesClient(namespace, config)

    async def read(self, name: str) -> Manifest | None:
        """Return a Deployment, or None."""
        return await self._client.call(
            "AppsV1Api", "read_namespaced_deployment", name, self._namespace, absent=HTTPStatus.NOT_FOUND
        )

    async def create(self, deployment: Manifest, service: Manifest) -> None:
        """Make a Service and a Deployment, unless they are there."""
        for api, kind, body in (("CoreV1Api", "service", service), ("AppsV1Api", "deployment", deployment)):
            method = f"create_namespaced_{kind}"
            await self._client.call(api, method, self._namespace, body, absent=HTTPStatus.CONFLICT)

    async def pods(self, deployment_id: str) -> list[Manifest]:
        """Return the pods of a deployment."""
        return await self._listed("CoreV1Api", "pod", deployment_id)

    async def delete(self, deployment_id: str) -> int:
        """Delete what is labelled as a deployment's, and return how much of it is still there."""
        left = await self.pods(deployment_id)
        for api, kind in (("AppsV1Api", "deployment"), ("CoreV1Api", "service")):
            items = await self._listed(api, kind, deployment_id)
            for item in items:
                name = item["metadata"]["name"]
                method = f"delete_namespaced_{kind}"
                await self._client.call(api, method, name, self._namespace, absent=HTTPStatus.NOT_FOUND)
            left += items
        return len(left)

    async def _listed(self, api: str, kind: str, deployment_id: str) -> list[Manifest]:
        selector = f"{LABEL}={deployment_id}"
        listing = await self._client.call(api, f"list_namespaced_{kind}", self._namespace, label_selector=selector)
        return list((listing or {}).get("items") or ())


@dataclass
class _Look:
    """What was last seen of a deployment, and the pods that have answered as its model."""

    status: DeploymentStatus
    time: float
    proven: frozenset[str] = frozenset()


class KubernetesDeployer:
    """Serves versions by pods of an image.

    Args:
        api: The cluster.
        cluster: Where and with what.
        recipe: Returns the container for a version that answers to a name.
        address_of: Returns the address of a Service by its name, without a path.
    """

    def __init__(
        self, api: KubernetesApi, cluster: Cluster, recipe: Recipe, address_of: Callable[[str], str] | None = None
    ) -> None:
        self._api, self._cluster, self._recipe = api, cluster, recipe
        self._address_of = address_of or (lambda name: f"http://{name}.{cluster.namespace}.svc:{PORT}")
        self._seen: dict[str, _Look] = {}

    async def serve(self, deployment: Deployment, served: ServedVersion) -> DeploymentStatus:
        """Make the objects unless they are there, and say how the pods stand and whether they answer."""
        look = self._seen.get(deployment.deployment_id)
        is_ready = look is not None and look.status.state is DeploymentState.READY
        if look is not None and is_ready and time.monotonic() - look.time < _READY_SECONDS:
            return look.status
        found = await self._api.read(name_of(deployment))
        if found is None:
            await self._create(deployment, served)
            return DeploymentStatus(DeploymentState.STARTING, "The cluster was asked for it.")
        pods = await self._api.pods(deployment.deployment_id)
        status, proven = status_of(found, pods), look.proven if look else frozenset()
        if status.state is DeploymentState.READY:
            base_url = f"{self._address_of(name_of(deployment))}/v1"
            names = frozenset(pod["metadata"]["uid"] for pod in pods)
            status = (
                replace(status, base_url=base_url) if names <= proven else await self._try_out(deployment, base_url)
            )
            proven = names if status.state is DeploymentState.READY else proven
        self._seen[deployment.deployment_id] = _Look(status, time.monotonic(), proven)
        return status

    async def remove(self, deployment: Deployment) -> bool:
        """Delete all that is labelled as the deployment's, and say whether nothing is left."""
        self._seen.pop(deployment.deployment_id, None)
        return await self._api.delete(deployment.deployment_id) == 0

    async def close(self) -> None:
        """What runs in the cluster goes on; another replica of the registry looks after it."""
        self._seen.clear()

    async def _create(self, deployment: Deployment, served: ServedVersion) -> None:
        container = self._recipe(deployment, served, deployment.spec.model_version_id)
        owner = await self._api.read(self._cluster.owner) if self._cluster.owner else None
        service = service_object(deployment, self._cluster, owner)
        await self._api.create(deployment_object(deployment, container, self._cluster, owner), service)

    async def _try_out(self, deployment: Deployment, base_url: str) -> DeploymentStatus:
        """Say READY once the Service answers something as the version."""
        model, reason = deployment.spec.model_version_id, ""
        body = {"model": model, "prompt": "Hello", "max_tokens": 1}
        try:
            async with httpx2.AsyncClient(trust_env=False, timeout=_ANSWER_SECONDS) as client:
                names = [entry["id"] for entry in (await client.get(f"{base_url}/models")).json()["data"]]
                answer = await client.post(f"{base_url}/completions", json=body)
        except (httpx2.HTTPError, ValueError, KeyError, TypeError) as error:
            return DeploymentStatus(DeploymentState.STARTING, f"It does not answer yet: {type(error).__name__}.")
        if model not in names:
            reason = f"It serves {', '.join(names)[:_MAX_WORDS]}, not {model}."
        elif answer.status_code != httpx2.codes.OK:
            reason = f"It answers {answer.status_code}: {answer.text[:_MAX_WORDS]}"
        state = DeploymentState.FAILED if reason else DeploymentState.READY
        return DeploymentStatus(state, reason, "" if reason else base_url)


def vllm(image: str) -> Recipe:
    """Return how vLLM serves full weights, or an adapter on its base as a LoRA module."""

    def recipe(deployment: Deployment, served: ServedVersion, name: str) -> Served:
        versions = [served.base, served.version] if served.base else [served.version]
        length = (f"--max-model-len={deployment.spec.num_ctx}",) if deployment.spec.num_ctx else ()
        # The base answers to a name of its own, so that the adapter's is the adapter.
        names = ("--served-model-name=base", "--enable-lora", "--max-lora-rank=256", "--lora-modules", f"{name}={{1}}")
        named = names if served.base else (f"--served-model-name={name}",)
        return _served(image, ("vllm", "serve"), ("{0}", *_COMMON, *length, *named), versions)

    return recipe


def llama_server(image: str) -> Recipe:
    """Return how llama.cpp's server serves a GGUF file, or a GGUF adapter on one."""

    def recipe(deployment: Deployment, served: ServedVersion, name: str) -> Served:
        if served.version.kind is ModelVersionKind.OLLAMA:
            raise FailedPrecondition(
                "The form for Ollama is served by Ollama.", "Deploy the GGUF version that it was made from."
            )
        versions = [served.base, served.version] if served.base else [served.version]
        adapter = ("--lora", "{1}/adapter.gguf") if served.base else ()
        length = ("--ctx-size", str(deployment.spec.num_ctx)) if deployment.spec.num_ctx else ()
        arguments = (*_COMMON, "--model", "{0}/model.gguf", *adapter, "--alias", name, *length, "--jinja", "--no-webui")
        return _served(image, (), arguments, versions)

    return recipe


# llama.cpp's server takes no option and its value as one.
_COMMON = ("--host", "0.0.0.0", "--port", str(PORT))


def _served(image: str, command: tuple[str, ...], arguments: tuple[str, ...], versions: list[ModelVersion]) -> Served:
    if not image:
        raise FailedPrecondition(
            "No image is known that serves it.", "Name one with --image, or in the chart's values."
        )
    uris = tuple(version.artifact.uri for version in versions)
    return Served(image, command, arguments, uris, tuple(f"{uri.removeprefix('file://')}/{FILES}" for uri in uris))
