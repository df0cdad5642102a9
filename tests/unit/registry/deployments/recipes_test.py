"""What a pod of the cluster runs to serve GGUF, run here: llama.cpp's real server answers as the version."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from urllib.request import urlopen

import pytest

from services.chassis.errors import FailedPrecondition
from services.lm.conversion.writing.export import export_gguf, export_gguf_adapter
from services.lm.tiny import write_tiny_model
from services.registry.deployers.kubernetes import llama_server
from services.registry.deployers.kubernetes_objects import Cluster, deployment_object
from services.registry.domain.deployment import Deployment, ServedVersion
from services.registry.domain.model import ModelVersionKind
from tests.unit.lm.gguf.llama_server_test import ask, serving_command
from tests.unit.lm.gguf.writing.export_test import write_adapter
from tests.unit.registry.deployments.deployments_test import deployment, served

RECIPE = llama_server("ghcr.io/ggml-org/llama.cpp:server")


def arguments_of(one: Deployment, version: ServedVersion) -> list[str]:
    """The arguments of the pod's container, which has its folders on a volume."""
    container = RECIPE(one, version, one.spec.model_version_id)
    pod = deployment_object(one, container, Cluster("drilling", claim="data"), None)["spec"]["template"]["spec"]
    (described,) = pod["containers"]
    assert "command" not in described and "initContainers" not in pod
    return list(described["args"])


@pytest.mark.real_model
def test_a_pod_serves_an_adapter_on_its_base_under_the_name_of_the_version(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "tiny")
    adapter = write_adapter(tmp_path / "tiny", tmp_path / "lora")
    # As a store keeps a folder, its files are in one within.
    export_gguf(tmp_path / "tiny", tmp_path / "base" / "files", "F32")
    export_gguf_adapter(tmp_path / "tiny", adapter, tmp_path / "adapter" / "files")
    base = served(tmp_path / "base").version
    version = replace(served(tmp_path / "adapter").version, kind=ModelVersionKind.GGUF_ADAPTER)
    one = replace(deployment(), spec=replace(deployment().spec, num_ctx=256))
    with serving_command(arguments_of(one, ServedVersion(version, base)), tmp_path / "log") as url:
        (model,) = json.load(urlopen(f"{url}/v1/models"))["data"]
        (lora,) = json.load(urlopen(f"{url}/lora-adapters"))
        answer = ask(f"{url}/v1/completions", model="tiny@2", prompt="abc", max_tokens=2)
        context = json.load(urlopen(f"{url}/props"))["default_generation_settings"]["n_ctx"]
    assert (model["id"], lora["scale"], context) == ("tiny@2", 1.0, 256)
    # Random weights may end the answer at once.
    assert answer["usage"]["completion_tokens"] in (1, 2)


def test_without_a_volume_a_pod_fetches_what_it_serves() -> None:
    version = served(Path("/data/gguf"))
    container = RECIPE(deployment(), version, "tiny@2")
    pod = deployment_object(deployment(), container, Cluster("drilling", fetch_image="drillyard-registry:1"), None)
    spec = pod["spec"]["template"]["spec"]
    (fetch,), (model,) = spec["initContainers"], spec["containers"]
    assert fetch["command"][-2:] == ["/models", "/data/gguf"] and fetch["image"] == "drillyard-registry:1"
    assert "--model /models/0/model.gguf" in " ".join(model["args"]) and "--ctx-size" not in model["args"]
    assert fetch["volumeMounts"] == model["volumeMounts"]


def test_a_form_for_ollama_and_a_missing_image_are_refused_with_what_to_do() -> None:
    form = replace(served(Path("/a")).version, kind=ModelVersionKind.OLLAMA)
    with pytest.raises(FailedPrecondition, match="Deploy the GGUF version"):
        RECIPE(deployment(), ServedVersion(form), "tiny@2")
    with pytest.raises(FailedPrecondition, match="Name one with --image"):
        llama_server("")(deployment(), served(Path("/a")), "tiny@2")
