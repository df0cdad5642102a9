"""What KubeRay 1.7 makes of a RayJob, by its public source: token, service, pods of head and workers, submitter.

The parts that decide whether Ray's processes find each other are as they are there: commands, variables and names. Left
out are probes, labels for metrics, and the RayCluster between.
"""

from __future__ import annotations

import base64
import copy
import secrets
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

from tests.charts.tools import Manifest

NODE_TYPE: Final = "ray.io/node-type"
GCS_PORT, DASHBOARD_PORT = 6379, 8265
_CLUSTER, _GROUP = "ray.io/cluster", "ray.io/group"
_SHELL: Final = ["/bin/bash", "-c", "--"]
_WAIT: Final = (
    'until ray health-check --address {} > /dev/null 2>&1; do echo "Waiting for GCS to be ready."; sleep 5; done'
)
_UNITS: Final = {"Mi": 1 << 20, "Gi": 1 << 30}


def cluster_of(ray_job: Manifest) -> str:
    """Return the name of the RayCluster."""
    return f"{ray_job['metadata']['name']}-c"


def head_host(ray_job: Manifest) -> str:
    """Return the name by which workers find the head."""
    return f"{cluster_of(ray_job)}-head-svc.{ray_job['metadata']['namespace']}.svc.cluster.local"


def token_secret(ray_job: Manifest) -> Manifest:
    """Return the secret with the token that all of a cluster's processes show each other."""
    token = base64.b64encode(secrets.token_hex(16).encode()).decode()
    return {"metadata": _metadata(ray_job, cluster_of(ray_job)), "data": {"auth_token": token}}


def head_service(ray_job: Manifest) -> Manifest:
    """Return the head's service, which has no address of its own."""
    selector = {NODE_TYPE: "head", _CLUSTER: cluster_of(ray_job)}
    ports = [{"name": "gcs-server", "port": GCS_PORT}, {"name": "dashboard", "port": DASHBOARD_PORT}]
    spec = {"clusterIP": "None", "publishNotReadyAddresses": True, "selector": selector, "ports": ports}
    return {"metadata": _metadata(ray_job, f"{cluster_of(ray_job)}-head-svc"), "spec": spec}


def ray_pods(ray_job: Manifest) -> Iterator[Manifest]:
    """Yield the pods of a head and its workers."""
    cluster = ray_job["spec"]["rayClusterSpec"]
    head, (group,) = cluster["headGroupSpec"], cluster["workerGroupSpecs"]
    yield _pod(ray_job, head, "head", "headgroup")
    for _ in range(group["replicas"]):
        yield _pod(ray_job, group, "worker", group["groupName"])


def submitter(ray_job: Manifest, submission: str) -> Manifest:
    """Return the Job whose pod hands the entry point to the head, and prints what that prints."""
    name, address = ray_job["metadata"]["name"], f"http://{head_host(ray_job)}:{DASHBOARD_PORT}"
    template = copy.deepcopy(ray_job["spec"]["submitterPodTemplate"])
    (container,) = template["spec"]["containers"]
    healthy = f"import urllib.request as r; r.urlopen('{address}/api/gcs_healthz', timeout=5)"
    submit = f"ray job submit --address {address} --no-wait --submission-id {submission}"
    container["command"] = ["/bin/bash", "-ce", "--"]
    container["args"] = [
        f'until python -c "{healthy}" > /dev/null 2>&1 ; do echo "Waiting for Ray Dashboard GCS" ; sleep 2 ; done ; '
        f"if ! ray job status --address {address} {submission} > /dev/null 2>&1 ; "
        f"then {submit} -- {ray_job['spec']['entrypoint']} ; fi ; "
        f"ray job logs --address {address} --follow {submission}"
    ]
    container["env"] += [
        {"name": "PYTHONUNBUFFERED", "value": "1"},
        {"name": "RAY_DASHBOARD_ADDRESS", "value": address.removeprefix("http://")},
        {"name": "RAY_JOB_SUBMISSION_ID", "value": submission},
        *_token(ray_job),
    ]
    return {"metadata": _metadata(ray_job, name), "spec": {"backoffLimit": 2, "template": template}}


def _metadata(ray_job: Manifest, name: str) -> Manifest:
    own = ray_job["metadata"]
    owner = {"apiVersion": "ray.io/v1", "kind": "RayJob", "name": own["name"], "uid": own["uid"]}
    return {"name": name, "ownerReferences": [owner]}


def _pod(ray_job: Manifest, group: Manifest, kind: str, group_name: str) -> Manifest:
    template, is_head = copy.deepcopy(group["template"]), kind == "head"
    spec, (container,) = template["spec"], template["spec"]["containers"]
    address = f"{'127.0.0.1' if is_head else head_host(ray_job)}:{GCS_PORT}"
    if not is_head:
        spec["initContainers"] = [_waiting(ray_job, container, address)]
    _add_shared_memory(spec, container)
    container["command"], start = _SHELL, _start_command(group, container["resources"], None if is_head else address)
    container["args"] = [f"ulimit -n 65536; {start}"]
    found = [{"name": "FQ_RAY_IP", "value": head_host(ray_job)}]
    container["env"] += [
        *([] if is_head else found),
        _of_pod("RAY_CLUSTER_NAME", f"metadata.labels['{_CLUSTER}']"),
        _of_pod("RAY_CLOUD_INSTANCE_ID", "metadata.name"),
        _of_pod("RAY_NODE_TYPE_NAME", f"metadata.labels['{_GROUP}']"),
        {"name": "KUBERAY_GEN_RAY_START_CMD", "value": start},
        {"name": "RAY_PORT", "value": str(GCS_PORT)},
        {"name": "RAY_ADDRESS", "value": address},
        {"name": "RAY_USAGE_STATS_KUBERAY_IN_USE", "value": "1"},
        {"name": "RAY_DASHBOARD_ENABLE_K8S_DISK_USAGE", "value": "1"},
        *_token(ray_job),
    ]
    owners = _metadata(ray_job, "")["ownerReferences"]
    labels = {**template["metadata"]["labels"], NODE_TYPE: kind, _CLUSTER: cluster_of(ray_job), _GROUP: group_name}
    metadata = {"generateName": f"{cluster_of(ray_job)}-{kind}-", "labels": labels, "ownerReferences": owners}
    return {"metadata": metadata, "spec": spec}


def _waiting(ray_job: Manifest, container: Manifest, address: str) -> Manifest:
    """Return the container before a worker's, which ends when the head answers."""
    same = {
        key: copy.deepcopy(container[key]) for key in ("image", "imagePullPolicy", "securityContext", "volumeMounts")
    }
    amounts = {"cpu": "200m", "memory": "256Mi"}
    return {
        **same,
        "name": "wait-gcs-ready",
        "command": _SHELL,
        "args": [_WAIT.format(address)],
        "env": [*container["env"], {"name": "FQ_RAY_IP", "value": head_host(ray_job)}, *_token(ray_job)],
        "resources": {"limits": amounts, "requests": amounts},
    }


def _add_shared_memory(spec: Manifest, container: Manifest) -> None:
    if any(mount["mountPath"] == "/dev/shm" for mount in container["volumeMounts"]):
        return
    spec["volumes"].append({"name": "shared-mem", "emptyDir": {"medium": "Memory"}})
    container["volumeMounts"].append({"name": "shared-mem", "mountPath": "/dev/shm"})


def _start_command(group: Manifest, resources: Manifest, address: str | None) -> str:
    limits, requests = resources.get("limits", {}), resources.get("requests", {})
    options: dict[str, Any] = {
        **({"dashboard-host": "0.0.0.0"} if address is None else {"address": address}),
        "metrics-export-port": 8080,
        "block": "true",
        "dashboard-agent-listen-port": 52365,
        **group["rayStartParams"],
    }
    if cpu := limits.get("cpu", requests.get("cpu")):
        options.setdefault("num-cpus", -(-_amount(cpu) // 1))
    if "memory" in limits:
        options.setdefault("memory", _amount(limits["memory"]))
    words = [f"--{name}" if value == "true" else f"--{name}={value}" for name, value in sorted(options.items())]
    return " ".join(["ray", "start", *(["--head"] if address is None else []), *words])


def _amount(quantity: str) -> Decimal:
    if quantity.endswith("m"):
        return Decimal(quantity[:-1]) / 1000
    return Decimal(quantity[:-2]) * _UNITS[quantity[-2:]] if quantity[-2:] in _UNITS else Decimal(quantity)


def _of_pod(name: str, path: str) -> Manifest:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def _token(ray_job: Manifest) -> list[Manifest]:
    reference = {"secretKeyRef": {"name": cluster_of(ray_job), "key": "auth_token"}}
    return [{"name": "RAY_AUTH_MODE", "value": "token"}, {"name": "RAY_AUTH_TOKEN", "valueFrom": reference}]
