"""Deployments on a real API server: made, looked at, quoted and taken away, with the rights that the chart gives."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from services.chassis.artifacts import Artifact
from services.registry.deployers.kubernetes import KubernetesApi, KubernetesDeployer, Recipe, llama_server, vllm
from services.registry.deployers.kubernetes_objects import Cluster, name_of
from services.registry.domain.deployment import (
    Deployment,
    DeploymentBackend,
    DeploymentSpec,
    DeploymentState,
    DeploymentStatus,
    ServedVersion,
)
from services.registry.domain.model import ModelFacts, ModelVersion, ModelVersionKind
from tests.charts.cluster.control_plane import ControlPlane
from tests.charts.tools import render
from tests.machine import PATIENCE_SECONDS
from tests.unit.lm.gguf.llama_server_test import serving_command
from tests.unit.lm.gguf.models import write

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]
NAMESPACE, MODEL, ACCOUNT, OWNER = "drilling", "tiny@2", "dy-registry", "dy-owner"
NOW = datetime(2026, 11, 29, tzinfo=UTC)


@pytest.fixture(scope="module")
def kubeconfig(control_plane: ControlPlane) -> Path:
    """A kubeconfig of the registry's account, with the rights that the chart gives it and no others."""
    return control_plane.kubeconfig_of(ACCOUNT, NAMESPACE, render("--set", "deployments.enabled=true"))


def version(number: int, kind: ModelVersionKind) -> ModelVersion:
    uri = f"file:///data/registry/artifacts/trees/{number}"
    return ModelVersion(
        request_id="",
        artifact=Artifact(uri, "sha256:0", 1),
        produced_by="",
        model_id="tiny",
        kind=kind,
        base_model_version_id="tiny@1" if number > 1 else "",
        source=None,
        facts=ModelFacts("llama", 1, 1),
        version=number,
        create_time=NOW,
    )


SERVED = ServedVersion(version(2, ModelVersionKind.ADAPTER), version(1, ModelVersionKind.BASE))


def deployment(name: str, **more: Any) -> Deployment:
    values = {"model_version_id": MODEL, "image": "", "num_replicas": 1, "num_gpus": 0, "num_ctx": 0, **more}
    spec = DeploymentSpec(backend=DeploymentBackend.KUBERNETES_VLLM, **values)
    return Deployment(name, "", spec, DeploymentState.STARTING, "", "", NOW, NOW)


@contextmanager
def model_server(name: str) -> Iterator[str]:
    """A server that says that it is a model of a name."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._say({"data": [{"id": "base"}, {"id": name}]})

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self._say({"model": name})

        def _say(self, body: dict[str, Any]) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def deployer(
    kubeconfig: Path, address: str = "http://127.0.0.1:9", recipe: Recipe = vllm("vllm/vllm-openai:v1"), owner: str = ""
) -> KubernetesDeployer:
    cluster = Cluster(NAMESPACE, owner, claim="dy-data", labels={"app.kubernetes.io/part-of": "drillyard"})
    return KubernetesDeployer(KubernetesApi(NAMESPACE, kubeconfig), cluster, recipe, lambda _: address)


async def until(look: Callable[[], Awaitable[DeploymentStatus]], *parts: str) -> DeploymentStatus:
    """Return the status whose reason has all parts, once it comes."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            status = await look()
            if all(part in f"{status.state.value} {status.reason}" for part in parts):
                return status
            await asyncio.sleep(0.2)


def patch_pod(control_plane: ControlPlane, name: str, status: dict[str, Any]) -> None:
    """Set the status of a deployment's pod as a kubelet would."""
    selector = f"drillyard.dev/deployment={name}"
    pods, end = [], time.monotonic() + PATIENCE_SECONDS
    while not pods:
        assert time.monotonic() < end, "no pod was made"
        pods = json.loads(control_plane.kubectl("get", "pods", "-n", NAMESPACE, "-l", selector, "-o", "json"))["items"]
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{pods[0]['metadata']['name']}/status"
    pods[0]["status"] = status
    file = Path(control_plane.kubeconfig).with_name("pod.json")
    file.write_text(json.dumps(pods[0]))
    control_plane.kubectl("replace", "--raw", path, "-f", str(file))


RIGHTS = {
    (ACCOUNT, NAMESPACE): {
        *(("apps", "deployments", verb) for verb in ("get", "list", "create", "delete")),
        *(("", "services", verb) for verb in ("list", "create", "delete")),
        ("", "pods", "list"),
    },
    (ACCOUNT, "default"): set[tuple[str, str, str]](),
    ("default", NAMESPACE): set[tuple[str, str, str]](),
}
RESOURCES = (("apps", "deployments"), ("", "services"), ("", "pods"), ("", "secrets"), ("", "pods/exec"))
VERBS = ("get", "list", "create", "delete", "patch", "deletecollection")


@pytest.mark.usefixtures("kubeconfig")
def test_the_registry_s_account_can_do_what_it_needs_and_nothing_else(control_plane: ControlPlane) -> None:
    assert control_plane.rights(RIGHTS, RESOURCES, VERBS, NAMESPACE) == RIGHTS


async def test_a_deployment_is_made_becomes_ready_when_it_answers_as_its_model_and_goes(
    control_plane: ControlPlane, kubeconfig: Path
) -> None:
    one = deployment("tiny-2-abc")
    with model_server("other") as other, model_server(MODEL) as right:
        wrong = deployer(kubeconfig, other)
        await until(lambda: wrong.serve(one, SERVED), "starting", "0 of 1 pods are ready")
        (made,) = control_plane.objects("deployments", NAMESPACE)
        assert made["metadata"]["name"] == name_of(one)
        (container,) = made["spec"]["template"]["spec"]["containers"]
        assert container["args"][0] == "/data/registry/artifacts/trees/1/files"
        assert f"{MODEL}=/data/registry/artifacts/trees/2/files" in container["args"]
        ready = [{"type": kind, "status": "True"} for kind in ("Ready", "ContainersReady", "PodScheduled")]
        patch_pod(control_plane, "tiny-2-abc", {"phase": "Running", "conditions": ready})
        await until(lambda: wrong.serve(one, SERVED), "failed", "It serves base, other, not tiny@2")
        status = await until(lambda: deployer(kubeconfig, right).serve(one, SERVED), "ready")
    assert status.base_url == f"{right}/v1"
    while not await wrong.remove(one):
        await asyncio.sleep(0.2)
    assert control_plane.objects("deployments,services,pods", NAMESPACE) == []


async def test_what_keeps_a_pod_from_running_is_said_in_the_clusters_words(
    control_plane: ControlPlane, kubeconfig: Path
) -> None:
    one, serving = deployment("tiny-2-bad"), deployer(kubeconfig)
    await until(lambda: serving.serve(one, SERVED), "0 of 1 pods are ready")
    unschedulable = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes: GPUs"}
    patch_pod(control_plane, "tiny-2-bad", {"phase": "Pending", "conditions": [unschedulable]})
    await until(lambda: serving.serve(one, SERVED), "starting", "Unschedulable: 0/3 nodes: GPUs")
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "vllm:v1"'}}
    facts = {"name": "model", "image": "vllm:v1", "imageID": "", "ready": False, "restartCount": 0, "state": waiting}
    patch_pod(control_plane, "tiny-2-bad", {"phase": "Pending", "containerStatuses": [facts]})
    await until(lambda: serving.serve(one, SERVED), "failed", 'ImagePullBackOff: Back-off pulling image "vllm:v1"')
    waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}
    ended = {"terminated": {"exitCode": 127, "reason": "StartError", "message": 'exec: "vllm": not found'}}
    facts |= {"imageID": "sha256:0", "restartCount": 1, "state": waiting, "lastState": ended}
    patch_pod(control_plane, "tiny-2-bad", {"phase": "Running", "containerStatuses": [facts]})
    await until(lambda: serving.serve(one, SERVED), "failed", 'CrashLoopBackOff: back-off 10s exec: "vllm": not found')
    while not await serving.remove(one):
        await asyncio.sleep(0.2)


async def test_a_gguf_version_is_served_by_llama_cpp_s_server(
    control_plane: ControlPlane, kubeconfig: Path, tmp_path: Path
) -> None:
    weights = replace(version(2, ModelVersionKind.GGUF), artifact=Artifact(f"file://{tmp_path}", "sha256:0", 1))
    one, gguf = deployment("tiny-2-gguf"), ServedVersion(weights)
    (tmp_path / "files").mkdir()
    write(tmp_path / "files" / "model.gguf")
    control_plane.kubectl("create", "deployment", OWNER, "--image=none", "--replicas=0", "-n", NAMESPACE)
    recipe = llama_server("llama.cpp:server")
    serving = deployer(kubeconfig, recipe=recipe, owner=OWNER)
    await until(lambda: serving.serve(one, gguf), "starting", "0 of 1 pods are ready")
    objects = control_plane.objects("deployments,services", NAMESPACE)
    made = {item["kind"]: item for item in objects if item["metadata"]["name"] == name_of(one)}
    owner = control_plane.kubectl("get", "deployment", OWNER, "-n", NAMESPACE, "-o", "jsonpath={.metadata.uid}")
    assert set(made) == {"Deployment", "Service"}
    for item in made.values():
        assert item["metadata"]["labels"]["drillyard.dev/deployment"] == "tiny-2-gguf"
        assert [reference["uid"] for reference in item["metadata"]["ownerReferences"]] == [owner]
    (container,) = made["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "llama.cpp:server"
    waiting = {"waiting": {"reason": "ErrImagePull", "message": 'pulling "llama.cpp:server": not found'}}
    facts = {"name": "model", "image": "llama.cpp:server", "imageID": "", "ready": False, "restartCount": 0}
    patch_pod(control_plane, "tiny-2-gguf", {"phase": "Pending", "containerStatuses": [facts | {"state": waiting}]})
    await until(lambda: serving.serve(one, gguf), 'ErrImagePull: pulling "llama.cpp:server": not found')
    # What the pod's container runs, as the API server has it, runs here in its place.
    with serving_command(container["args"], tmp_path / "log") as address:
        ready = [{"type": kind, "status": "True"} for kind in ("Ready", "ContainersReady", "PodScheduled")]
        patch_pod(control_plane, "tiny-2-gguf", {"phase": "Running", "conditions": ready})
        answering = deployer(kubeconfig, address, recipe=recipe, owner=OWNER)
        status = await until(lambda: answering.serve(one, gguf), "ready")
    assert status.base_url == f"{address}/v1"
    while not await answering.remove(one):
        await asyncio.sleep(0.2)
    control_plane.kubectl("delete", "deployment", OWNER, "-n", NAMESPACE)
    assert control_plane.objects("deployments,services,pods", NAMESPACE) == []


async def test_a_quota_is_quoted(control_plane: ControlPlane, kubeconfig: Path) -> None:
    one, serving = deployment("tiny-2-quota"), deployer(kubeconfig)
    control_plane.kubectl("create", "quota", "few", "--hard=pods=0", "-n", NAMESPACE)
    try:
        await until(lambda: serving.serve(one, SERVED), "failed", "exceeded quota")
    finally:
        control_plane.kubectl("delete", "quota", "few", "-n", NAMESPACE)
        while not await serving.remove(one):
            await asyncio.sleep(0.2)
