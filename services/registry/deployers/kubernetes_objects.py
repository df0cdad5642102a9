"""The objects by which a cluster serves a version, and what their status says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from services.chassis.machine.kubernetes.client import Manifest
from services.chassis.machine.kubernetes.complaints import Complaint, complaints_of
from services.registry.domain.deployment import Deployment, DeploymentState, DeploymentStatus

PORT = 8000
LABEL = "drillyard.dev/deployment"
_MODELS = "/models"
# No pod can be made, for a quota or a policy.
_REFUSED = "ReplicaFailure"


@dataclass(frozen=True)
class Cluster:
    """Where in the cluster versions are served, and with what.

    Attributes:
        namespace: The namespace; everything is in this one.
        owner: The Deployment of the registry, with which all goes; empty for nobody.
        labels: Those of the release.
        claim: The volume claim that holds the artifacts, mounted at `mount_path`; empty where `fetch_image` gets them.
        same_node: Whether only the node on which the release runs can mount the claim.
        fetch_image: Image of the registry, which brings artifacts of an object store.
        secret: Whose entries are the environment of that; empty for none.
    """

    namespace: str
    owner: str = ""
    labels: Mapping[str, str] | None = None
    claim: str = ""
    same_node: bool = False
    mount_path: str = "/data"
    fetch_image: str = ""
    secret: str = ""


@dataclass(frozen=True)
class Served:
    """A container that serves: what it runs, with `{0}` for the first folder, and the folders' URIs and local paths.

    Without a command the image's own program gets the arguments.
    """

    image: str
    command: tuple[str, ...]
    arguments: tuple[str, ...]
    uris: tuple[str, ...]
    paths: tuple[str, ...]


def name_of(deployment: Deployment) -> str:
    """Return the name of a deployment's objects."""
    return f"drillyard-{deployment.deployment_id}"


def deployment_object(deployment: Deployment, served: Served, cluster: Cluster, owner: Manifest | None) -> Manifest:
    """Return the Deployment."""
    labels = _labels(deployment, cluster)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(deployment, cluster, owner),
        "spec": {
            "replicas": deployment.spec.num_replicas,
            "selector": {"matchLabels": {LABEL: deployment.deployment_id}},
            "template": {"metadata": {"labels": labels}, "spec": _pod(deployment, served, cluster)},
        },
    }


def service_object(deployment: Deployment, cluster: Cluster, owner: Manifest | None) -> Manifest:
    """Return the Service."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(deployment, cluster, owner),
        "spec": {
            "selector": {LABEL: deployment.deployment_id},
            "ports": [{"name": "http", "port": PORT, "targetPort": "http", "protocol": "TCP"}],
        },
    }


def status_of(found: Manifest, pods: Sequence[Manifest]) -> DeploymentStatus:
    """Return how a Deployment and its pods stand; READY says that all pods are, not yet that they answer."""
    complaints = [*_refusals_of(found), *complaints_of(pods)]
    hopeless = [item for item in complaints if item.is_hopeless or item.reason == _REFUSED]
    waiting = [item for item in complaints if item not in hopeless]
    status = found.get("status") or {}
    num_ready = status.get("readyReplicas") or 0
    is_newest = (status.get("observedGeneration") or 0) >= found["metadata"].get("generation", 0)
    if is_newest and num_ready >= found["spec"]["replicas"]:
        return DeploymentStatus(DeploymentState.READY)
    if hopeless:
        return DeploymentStatus(DeploymentState.FAILED, str(hopeless[0]))
    text = str(waiting[0]) if waiting else f"{num_ready} of {found['spec']['replicas']} pods are ready."
    return DeploymentStatus(DeploymentState.STARTING, text)


def _refusals_of(deployment: Manifest) -> Iterator[Complaint]:
    for condition in (deployment.get("status") or {}).get("conditions") or ():
        if condition["type"] == _REFUSED and condition["status"] == "True":
            yield Complaint(_REFUSED, condition.get("message") or condition.get("reason") or "")


def _metadata(deployment: Deployment, cluster: Cluster, owner: Manifest | None) -> Manifest:
    metadata: Manifest = {"name": name_of(deployment), "labels": _labels(deployment, cluster)}
    if owner is not None:
        facts = {"apiVersion": "apps/v1", "kind": "Deployment"}
        metadata["ownerReferences"] = [{**facts, "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"]}]
    return metadata


def _labels(deployment: Deployment, cluster: Cluster) -> dict[str, str]:
    own = {"app.kubernetes.io/name": "served-model", "app.kubernetes.io/managed-by": "drillyard-registry"}
    return {**(cluster.labels or {}), **own, LABEL: deployment.deployment_id}


def _pod(deployment: Deployment, served: Served, cluster: Cluster) -> Manifest:
    volume: Manifest = {"name": "models", "emptyDir": {}}
    mount: Manifest = {"name": "models", "mountPath": _MODELS}
    folders = [f"{_MODELS}/{place}" for place in range(len(served.uris))]
    if cluster.claim:
        volume = {"name": "models", "persistentVolumeClaim": {"claimName": cluster.claim, "readOnly": True}}
        mount, folders = {"name": "models", "mountPath": cluster.mount_path, "readOnly": True}, list(served.paths)
    gpus = {"nvidia.com/gpu": str(deployment.spec.num_gpus)} if deployment.spec.num_gpus else {}
    container: Manifest = {
        "name": "model",
        "image": deployment.spec.image or served.image,
        **({"command": list(served.command)} if served.command else {}),
        "args": [argument.format(*folders) for argument in served.arguments],
        "ports": [{"name": "http", "containerPort": PORT, "protocol": "TCP"}],
        "readinessProbe": {"httpGet": {"path": "/health", "port": "http"}, "periodSeconds": 5},
        "resources": {"limits": gpus},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [mount],
    }
    pod: Manifest = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [volume],
    }
    if not cluster.claim:
        return {**pod, "initContainers": [_fetch(served, cluster, mount)]}
    return {**pod, "affinity": _beside(cluster)} if cluster.same_node and cluster.labels else pod


def _beside(cluster: Cluster) -> Manifest:
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": dict(cluster.labels or {})}}
    return {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


def _fetch(served: Served, cluster: Cluster, mount: Manifest) -> Manifest:
    source = [{"secretRef": {"name": cluster.secret}}] if cluster.secret else []
    return {
        "name": "fetch",
        "image": cluster.fetch_image,
        "command": ["python", "-m", "services.registry.deployers.fetch", _MODELS, *served.uris],
        "envFrom": source,
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [mount],
    }
