"""What KubeRay 1.7 refuses of a RayJob, as its webhook and its operator's validation do."""

from __future__ import annotations

import re
from typing import Any

Manifest = dict[str, Any]
_MAX_NAME = 47
_ORDER = ("DeleteWorkers", "DeleteCluster", "DeleteSelf")


def refusal_of(ray_job: Manifest) -> str:
    """Return why a RayJob is refused; empty when it is not."""
    spec, name = ray_job["spec"], ray_job["metadata"]["name"]
    cluster = spec.get("rayClusterSpec") or {}
    refusals = {
        f"RayJob name should be no more than {_MAX_NAME} characters": len(name) > _MAX_NAME,
        "RayJob name should be a valid DNS1035 label": not re.fullmatch(r"[a-z]([a-z0-9-]*[a-z0-9])?", name),
        "a RayJob with shutdownAfterJobFinishes set to false is not allowed to be suspended": _is_left(spec)
        and spec.get("suspend", False),
        "shutdownAfterJobFinishes set to false cannot have TTLSecondsAfterFinished": _is_left(spec)
        and spec.get("ttlSecondsAfterFinished", 0) > 0,
        "one of RayClusterSpec or ClusterSelector must be set": not cluster and not spec.get("clusterSelector"),
        "the ClusterSelector mode doesn't support the suspend operation": bool(spec.get("clusterSelector"))
        and spec.get("suspend", False),
        "activeDeadlineSeconds must be a positive integer": spec.get("activeDeadlineSeconds", 1) <= 0,
        "preRunningDeadlineSeconds must be a positive integer": spec.get("preRunningDeadlineSeconds", 1) <= 0,
        "backoffLimit must be a positive integer": spec.get("backoffLimit", 0) < 0,
    }
    first = next((text for text, applies in refusals.items() if applies), "")
    return first or _of_rules(spec) or _of_sidecar(spec, cluster) or _of_token(cluster)


def _is_left(spec: Manifest) -> bool:
    return not spec.get("shutdownAfterJobFinishes", False)


def _of_rules(spec: Manifest) -> str:
    if "deletionStrategy" not in spec:
        return ""
    rules = spec["deletionStrategy"].get("deletionRules") or []
    if not rules:
        return "DeletionStrategy requires the deletionRules field (cannot be empty)"
    if not _is_left(spec):
        return "spec.shutdownAfterJobFinishes and spec.deletionStrategy.deletionRules are mutually exclusive"
    places = [(rule["condition"]["jobStatus"], rule["policy"]) for rule in rules]
    if len(set(places)) < len(places):
        return "duplicate rule for DeletionPolicyType and JobStatus"
    for status in {status for status, _ in places}:
        seconds = {
            rule["policy"]: rule["condition"]["ttlSeconds"]
            for rule in rules
            if rule["condition"]["jobStatus"] == status
        }
        ordered = [seconds[policy] for policy in _ORDER if policy in seconds]
        if ordered != sorted(ordered):
            return "TTLs must be non-decreasing along DeleteWorkers, DeleteCluster, DeleteSelf"
    return ""


def _of_sidecar(spec: Manifest, cluster: Manifest) -> str:
    if spec.get("submissionMode") != "SidecarMode":
        return ""
    head = cluster["headGroupSpec"]["template"]["spec"]
    refusals = {
        "SidecarMode doesn't support SubmitterPodTemplate": "submitterPodTemplate" in spec,
        "SidecarMode doesn't support SubmitterConfig": "submitterConfig" in spec,
        "ClusterSelector is not supported in SidecarMode": bool(spec.get("clusterSelector")),
        "restartPolicy for head Pod should be Never or unset": head.get("restartPolicy", "Never") != "Never",
    }
    return next((text for text, applies in refusals.items() if applies), "")


def _of_token(cluster: Manifest) -> str:
    options = cluster.get("authOptions") or {}
    if options.get("mode") != "token":
        return ""
    if options.get("enableK8sTokenAuth"):
        return "Kubernetes token authentication is not supported for RayJob"
    version = re.fullmatch(r"(\d+)\.(\d+)\..+", cluster.get("rayVersion", ""))
    if version is None:
        return "authOptions.mode is 'token' but RayVersion was not specified. Ray version 2.52.0 or later is required"
    if (int(version[1]), int(version[2])) < (2, 52):
        return f"authOptions.mode is 'token' but minimum Ray version is 2.52.0, got {cluster['rayVersion']}"
    return ""
