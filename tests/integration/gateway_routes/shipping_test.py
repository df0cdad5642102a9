"""A tuned model leaves the registry: adapter, merged weights, GGUF and Ollama store, by the command line."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from services.lm.adapters import LoraSettings, add_lora, save_adapter
from services.lm.conversion.header import read_header
from services.lm.loading import load
from services.lm.tiny import write_tiny_model
from tests.integration.processes import start_service
from tests.machine import PATIENCE_SECONDS
from tests.unit.chassis.machine.webhook_receiver import SECRET, Receiver, running_receiver
from ui.cli.__main__ import app
from ui.cli.connection import Gateway

pytestmark = pytest.mark.timeout(300)


class Stack:
    """A registry with the base `tiny@1` and the adapter `tuned@1`, behind a gateway."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.gateway = Gateway(url)

    def run(self, *arguments: str, exit_code: int = 0) -> Any:
        """Run a command and return what it printed as JSON."""
        done = CliRunner().invoke(app, [*arguments, "--json", "--url", self.url])
        assert done.exit_code == exit_code, done.output
        return json.loads(done.stdout or done.stderr.splitlines()[-1])

    def folder(self, version_id: str) -> Path:
        """Return where a version's files lie."""
        artifact = self.gateway.get(f"/model-versions/{version_id}")["model_version"]["artifact"]
        return Path(artifact["uri"].removeprefix("file://")) / "files"


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with running_receiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("shipping")
    write_tiny_model(folder / "tiny")
    told = {"webhooks": json.dumps([{"url": receiver.url, "secret": "hook"}]), "secret_hook": SECRET}
    with (
        start_service("registry", folder, **told) as registry,
        start_service("gateway", folder, port=0, registry_address=registry.address) as gateway,
    ):
        stack = Stack(f"http://{gateway.address}")
        stack.run("models", "import", str(folder / "tiny"), "--id", "tiny")
        stack.run("models", "import", str(_adapter(folder)), "--id", "tuned", "--base", "tiny@1")
        yield stack


def _adapter(folder: Path) -> Path:
    settings = LoraSettings(r=4, target_modules=("q_proj", "down_proj"))
    model = add_lora(load(folder / "tiny", dtype="float32").model, settings, seed=1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.add_(torch.ones_like(parameter) * 0.1)
    save_adapter(model, folder / "adapter")
    return folder / "adapter"


def test_an_adapter_becomes_merged_weights_then_a_gguf_then_a_folder(stack: Stack, tmp_path: Path) -> None:
    merged = stack.run("models", "export", "tuned", "--as", "merged")
    assert merged["model_version_id"] == "tuned-merged@1"
    gguf = stack.run("models", "export", "tuned-merged", "--as", "gguf:q8_0", "--name", "tuned-q8")
    assert gguf["model_version_id"] == "tuned-q8@1"
    version = stack.gateway.get("/model-versions/tuned-q8@1")["model_version"]
    assert (version["kind"], version["base_model_version_id"]) == ("MODEL_VERSION_KIND_GGUF", "tuned-merged@1")
    assert version["produced_by"] == f"export:{gguf['export_id']}"
    again = stack.run("models", "export", "tuned-merged", "--as", "gguf:Q8_0", "--name", "tuned-q8")
    assert again["model_version_id"] == "tuned-q8@1"

    publication = stack.run("models", "push", "tuned-q8", "--to", f"folder:{tmp_path}/out")
    assert publication["location"] == str(tmp_path / "out")
    assert read_header(tmp_path / "out" / "model.gguf").text("general.architecture") == "llama"
    published, kept = (path / "model.gguf" for path in (tmp_path / "out", stack.folder("tuned-q8@1")))
    assert published.read_bytes() == kept.read_bytes()
    assert {item["job"]["state"] for item in stack.run("exports", "list")} == {"JOB_STATE_SUCCEEDED"}


def test_an_adapter_goes_to_an_ollama_store_and_as_itself(stack: Stack, tmp_path: Path) -> None:
    store = stack.run("models", "export", "tuned", "--as", "ollama:Q4_K_M", "--ctx", "512")
    (tmp_path / "models").mkdir()
    pushed = stack.run("models", "push", store["model_version_id"], "--to", f"ollama:roo:q4@{tmp_path}/models")
    assert pushed["location"].startswith("registry.ollama.ai/library/roo:q4 in ")
    manifest = json.loads((tmp_path / "models/manifests/registry.ollama.ai/library/roo/q4").read_text())
    assert all(
        (tmp_path / "models/blobs" / layer["digest"].replace(":", "-")).is_file() for layer in manifest["layers"]
    )

    adapter = stack.run("models", "export", "tuned", "--as", "adapter", "--profile-id", "roo_xml")
    folder = stack.folder(adapter["model_version_id"])
    assert json.loads((folder / "drillyard.json").read_text())["profile_digest"].startswith("sha256:")
    assert "tuned" in (folder / "README.md").read_text()
    tensors = stack.run("models", "export", "tuned", "--as", "gguf-adapter")
    header = read_header(stack.folder(tensors["model_version_id"]) / "adapter.gguf")
    assert header.text("adapter.type") == "lora"


def test_a_dataset_goes_to_a_folder_with_its_card(stack: Stack, tmp_path: Path) -> None:
    row = {"messages": [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hello."}]}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row))
    stack.run("datasets", "import", "mine", str(tmp_path / "rows.jsonl"))
    place = f"folder:{tmp_path}/out"
    publication = stack.run("datasets", "publish", "mine", "--to", place, "--form", "messages")
    assert publication["spec"]["dataset_version_id"] == "mine@1"
    assert json.loads((tmp_path / "out/data/train.jsonl").read_text()) == row
    assert "path: " not in (tmp_path / "out/README.md").read_text().split("---")[2]
    body = {"dataset_version_id": "mine", "destination": {"folder_path": f"{tmp_path}/parquet"}}
    spec = stack.gateway.post("/publications", body)["publication"]["spec"]
    assert spec["dataset_form"] == "DATASET_FILE_FORM_PARQUET"
    assert stack.run("datasets", "publish", "mine", "--to", "ollama:mine", exit_code=2)["code"] == "INVALID_ARGUMENT"
    last, first, *_ = stack.run("publications", "list")
    assert last["spec"]["dataset_version_id"] == "mine@1" and first["location"] == publication["location"]


def test_a_webhook_is_told_of_each_end(stack: Stack, receiver: Receiver, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("no row")
    stack.run("datasets", "import", "wrong", str(tmp_path / "rows.jsonl"), exit_code=2)
    due = {("job.succeeded", "import", "SUCCEEDED"), ("job.failed", "dataset_import", "FAILED")}
    end = time.monotonic() + PATIENCE_SECONDS
    while not due <= {*receiver.told()}:
        assert time.monotonic() < end, receiver.told()
        time.sleep(0.05)


def test_what_cannot_be_shipped_is_refused_in_one_sentence(stack: Stack, tmp_path: Path) -> None:
    unknown = stack.run("models", "export", "tuned", "--as", "gguf:Q9", exit_code=2)
    assert "Q4_K_M" in unknown["next_step"]
    assert stack.run("models", "export", "tuned", "--as", "onnx", exit_code=2)["code"] == "INVALID_ARGUMENT"
    assert stack.run("models", "push", "tuned", "--to", "hf:owner/name", "--secret", "none", exit_code=1)["code"]
    assert stack.run("models", "push", "tuned", "--to", "ollama:roo", exit_code=2)["problem"].startswith(
        "tuned@1 is of"
    )
