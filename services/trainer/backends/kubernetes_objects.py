"""The objects by which a cluster does one attempt: a RayJob of KubeRay, or a Job whose pod runs Ray by itself."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar, Final

from pydantic import ConfigDict

from services.chassis.machine.kubernetes.client import Manifest
from services.chassis.machine.parent import child_environment
from services.trainer.domain.plan import AttemptPlan

JOB_LABEL: Final = "drillyard.dev/training-job"
ATTEMPT_LABEL: Final = "drillyard.dev/attempt"
EPOCH_LABEL: Final = "drillyard.dev/epoch"
MANAGER_LABEL: Final = "app.kubernetes.io/managed-by"
MANAGER: Final = "drillyard-trainer"
SCRATCH: Final = "/tmp/drillyard"
TOKEN_FOLDER: Final = "/etc/drillyard/service-token"
TLS_FOLDER: Final = "/etc/drillyard/tls"
_POD: Final = "services.trainer.training.processes.pod"
_QUEUE_LABEL: Final = "kueue.x-k8s.io/queue-name"
_QUANTITY = re.compile(r"([0-9.]+(?:[eE][+-]?[0-9]+)?)([A-Za-z]*)")
_DAY: Final = 24 * 3600
_TAKEN: Final = {"type": "DisruptionTarget", "status": "True"}
_SECURE: Final = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


@dataclass(frozen=True)
class TrainingPods:
    """How attempts stand in the cluster, as the operator says.

    Attributes:
        namespace: Everything is in this one.
        image: Has this package and Ray.
        ray_version: Of that image; KubeRay wants to know it where Ray asks for a token.
        labels: Those of the release, for every object.
        queue: Kueue's local queue; empty: the cluster begins at once.
        resources: Of each worker: requests, limits and DRA claims.
        head_resources: Of the pod that only directs the workers.
        shared_memory: Size of a worker's /dev/shm, counted in its memory limit; empty: the container runtime's.
        node_selector: Nodes for workers.
        tolerations: Of workers.
        runtime_class: Of workers.
        resource_claims: The pod's DRA claims, which `resources` names.
        pull_secrets: Secrets for the image's registry.
        pull_policy: When the image is fetched.
        token_secret: Has the entry `token`, with which attempts report; empty: none is asked for.
        tls_secret: Has tls.crt, tls.key and ca.crt, with which attempts report; empty: they do without TLS.
        artifacts_secret: Its entries are the environment by which the artifact store is reached.
        claim: The volume with the trainer's and the registry's artifacts; empty: they are in an object store.
        data_folder: Where the volume is mounted, as in the services, whose URIs say so.
        same_node: Whether the volume can be mounted on one node only.
        active_deadline_seconds: The cluster ends an attempt after so long; the next goes on from its checkpoint.
        pre_running_deadline_seconds: How long an attempt may wait for nodes, beside a queue's own wait.
        ttl_seconds: What an attempt left goes after so long where no trainer removes it.
        grace_seconds: A pod that is taken away has so long to end its step and save.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    namespace: str
    image: str
    ray_version: str = "2.60.0"
    labels: Mapping[str, str] = field(default_factory=dict)
    queue: str = ""
    resources: Mapping[str, Any] = field(default_factory=dict)
    head_resources: Mapping[str, Any] = field(default_factory=dict)
    shared_memory: str = ""
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: Sequence[Mapping[str, Any]] = ()
    runtime_class: str = ""
    resource_claims: Sequence[Mapping[str, Any]] = ()
    pull_secrets: Sequence[str] = ()
    pull_policy: str = "IfNotPresent"
    token_secret: str = ""
    tls_secret: str = ""
    artifacts_secret: str = ""
    claim: str = ""
    data_folder: str = "/data"
    same_node: bool = True
    active_deadline_seconds: int = 7 * _DAY
    pre_running_deadline_seconds: int = _DAY
    ttl_seconds: int = 600
    grace_seconds: int = 120

    @property
    def checkpoint_store(self) -> Path:
        """The folder of the volume that pods write to."""
        return Path(self.data_folder) / "trainer" / "artifacts"

    @property
    def secrets(self) -> Mapping[str, str]:
        """The secrets that pods mount, by the folder."""
        secrets = {TOKEN_FOLDER: self.token_secret, TLS_FOLDER: self.tls_secret}
        return {folder: secret for folder, secret in secrets.items() if secret}


def name_of(plan: AttemptPlan) -> str:
    """Return the name of an attempt's object: KubeRay allows 47 characters, and the labels have the whole id."""
    return f"{plan.training_job_id[:32]}-{plan.attempt}-{plan.epoch}"


def labels_of(plan: AttemptPlan, pods: TrainingPods) -> dict[str, str]:
    """Return the labels of all that belongs to an attempt."""
    return {
        **pods.labels,
        "app.kubernetes.io/name": "training",
        MANAGER_LABEL: MANAGER,
        JOB_LABEL: plan.training_job_id,
        ATTEMPT_LABEL: str(plan.attempt),
        EPOCH_LABEL: str(plan.epoch),
    }


def ray_job(plan: AttemptPlan, pods: TrainingPods) -> Manifest:
    """Return the RayJob: a head that directs, and a pod for each worker.

    KubeRay lets a RayJob be suspended only with `shutdownAfterJobFinishes`, which excludes deletion rules.
    """
    labels = labels_of(plan, pods)
    head = {"rayStartParams": {"num-cpus": "0", "num-gpus": "0"}, "template": _template(labels, _head_pod(pods))}
    num_workers = plan.spec.num_workers
    workers = {
        "groupName": "workers",
        "replicas": num_workers,
        "minReplicas": num_workers,
        "maxReplicas": num_workers,
        "rayStartParams": {},
        "template": _template(labels, _worker_pod(pods, "ray-worker", num_workers=1)),
    }
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayJob",
        "metadata": _metadata(plan, pods),
        "spec": {
            "entrypoint": " ".join(_command(plan)),
            "submissionMode": "K8sJobMode",
            "backoffLimit": 0,
            "activeDeadlineSeconds": pods.active_deadline_seconds,
            # The trainer ends it before, with the words of what kept it waiting.
            "preRunningDeadlineSeconds": pods.pre_running_deadline_seconds + 60,
            **_end(pods),
            "submitterPodTemplate": _template(labels, _pod(pods, _container(pods, "ray-job-submitter", {}))),
            "rayClusterSpec": {
                "rayVersion": pods.ray_version,
                "authOptions": {"mode": "token"},
                "headGroupSpec": head,
                "workerGroupSpecs": [workers],
            },
        },
    }


def plain_job(plan: AttemptPlan, pods: TrainingPods) -> Manifest:
    """Return the Job for a cluster without KubeRay: one pod with room for all workers."""
    pod = _worker_pod(pods, "training", num_workers=plan.spec.num_workers)
    # The first process of a container must reap what workers leave behind; Python does not.
    pod["containers"][0]["command"] = ["tini", "--", *_command(plan)]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": _metadata(plan, pods),
        "spec": {
            **({"suspend": True} if pods.queue else {}),
            "backoffLimit": 0,
            # What is taken away has failed when it is gone, not while it saves, and that is told from other failures.
            "podFailurePolicy": {"rules": [{"action": "FailJob", "onPodConditions": [dict(_TAKEN)]}]},
            "activeDeadlineSeconds": pods.active_deadline_seconds,
            "ttlSecondsAfterFinished": pods.ttl_seconds,
            "template": _template(labels_of(plan, pods), pod),
        },
    }


def _end(pods: TrainingPods) -> Manifest:
    if pods.queue:
        return {"suspend": True, "shutdownAfterJobFinishes": True, "ttlSecondsAfterFinished": pods.ttl_seconds}
    rules = [
        {"policy": policy, "condition": {"jobStatus": status, "ttlSeconds": seconds}}
        for status in ("SUCCEEDED", "FAILED")
        for policy, seconds in (("DeleteCluster", 0), ("DeleteSelf", pods.ttl_seconds))
    ]
    return {"deletionStrategy": {"deletionRules": rules}}


def _command(plan: AttemptPlan) -> list[str]:
    # KubeRay splits the line as a shell does: the plan has no character that a shell knows.
    return ["python", "-m", _POD, base64.urlsafe_b64encode(plan.to_json().encode()).decode()]


def _metadata(plan: AttemptPlan, pods: TrainingPods) -> Manifest:
    queue = {_QUEUE_LABEL: pods.queue} if pods.queue else {}
    return {"name": name_of(plan), "namespace": pods.namespace, "labels": {**labels_of(plan, pods), **queue}}


def _template(labels: Mapping[str, str], pod: Manifest) -> Manifest:
    return {"metadata": {"labels": dict(labels)}, "spec": pod}


def _head_pod(pods: TrainingPods) -> Manifest:
    return _pod(pods, _container(pods, "ray-head", pods.head_resources))


def _worker_pod(pods: TrainingPods, name: str, *, num_workers: int) -> Manifest:
    container = _container(pods, name, _times(pods.resources, num_workers))
    pod = _pod(pods, container)
    if pods.shared_memory:
        container["volumeMounts"].append({"name": "shared-memory", "mountPath": "/dev/shm"})
        size = _multiplied(pods.shared_memory, num_workers)
        pod["volumes"].append({"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": size}})
    placement: Manifest = {
        "nodeSelector": dict(pods.node_selector),
        "tolerations": list(pods.tolerations),
        "runtimeClassName": pods.runtime_class,
        "resourceClaims": list(pods.resource_claims),
    }
    return {**pod, **{key: value for key, value in placement.items() if value}}


def _pod(pods: TrainingPods, container: Manifest) -> Manifest:
    volumes: list[Manifest] = [{"name": "scratch", "emptyDir": {}}]
    for folder, secret in pods.secrets.items():
        volumes.append({"name": Path(folder).name, "secret": {"secretName": secret, "defaultMode": 0o440}})
    if pods.claim:
        volumes.append({"name": "data", "persistentVolumeClaim": {"claimName": pods.claim}})
    affinity = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [_beside(pods)]}}
    return {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": pods.grace_seconds,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 10001,
            "runAsGroup": 10001,
            "fsGroup": 10001,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "imagePullSecrets": [{"name": name} for name in pods.pull_secrets],
        "containers": [container],
        "volumes": volumes,
        **({"affinity": affinity} if pods.claim and pods.same_node else {}),
    }


def _beside(pods: TrainingPods) -> Manifest:
    return {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": dict(pods.labels)}}


def _container(pods: TrainingPods, name: str, resources: Mapping[str, Any]) -> Manifest:
    mounts: list[Manifest] = [{"name": "scratch", "mountPath": "/tmp"}]
    mounts += [{"name": Path(folder).name, "mountPath": folder, "readOnly": True} for folder in pods.secrets]
    if pods.claim:
        for service in ("registry", "trainer"):
            path = f"{service}/artifacts"
            mount = {"name": "data", "mountPath": f"{pods.data_folder}/{path}", "subPath": path}
            mounts.append({**mount, "readOnly": service == "registry"})
    environment = {"HOME": "/tmp", "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    environment |= {key: value for key, value in child_environment().items() if key.startswith("OTEL_")}
    return {
        "name": name,
        "image": pods.image,
        "imagePullPolicy": pods.pull_policy,
        "securityContext": dict(_SECURE),
        "env": [{"name": key, "value": value} for key, value in environment.items()],
        "envFrom": [{"secretRef": {"name": pods.artifacts_secret}}] if pods.artifacts_secret else [],
        # Whoever takes the pod away waits until the step is ended and saved, or the grace is over.
        "lifecycle": {"preStop": {"exec": {"command": ["python", "-m", _POD, "--stop"]}}},
        "resources": dict(resources),
        "volumeMounts": mounts,
    }


def _times(resources: Mapping[str, Any], count: int) -> Manifest:
    """Return resources for `count` workers in one container; claims are not multiplied."""
    return {
        kind: {name: _multiplied(value, count) for name, value in amounts.items()}
        if isinstance(amounts, Mapping)
        else list(amounts)
        for kind, amounts in resources.items()
    }


def _multiplied(quantity: str | int, count: int) -> str:
    match = _QUANTITY.fullmatch(str(quantity))
    if match is None or count == 1:
        return str(quantity)
    return f"{(Decimal(match[1]) * count).normalize():f}{match[2]}"
