"""The Ollama form of a GGUF version, and its way into a store folder."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import gguf
import numpy as np
import pytest

from services.chassis.artifacts import Artifact
from services.chassis.errors import AlreadyExists, InvalidArgument, PermissionDenied
from services.chassis.machine.guarded_http import open_client
from services.chassis.machine.hosts import HostPolicy, HostVariables
from services.chassis.machine.secrets import Secrets
from services.lm.conversion import card as cards
from services.registry.domain.export import ExportForm, ExportSource, ExportSpec, resolved
from services.registry.domain.model import ModelFacts, ModelVersion, ModelVersionDraft, ModelVersionKind
from services.registry.domain.publication import Package, check_kind
from services.registry.importers.inspection import FolderFacts
from services.registry.jobs.exporters.gguf import GgufWriter
from services.registry.jobs.exporters.ollama import OllamaWriter
from services.registry.jobs.publishers.ollama import OllamaPublisher
from services.registry.ollama.store import read_store
from tests.unit.registry.exports.shipping_registry import PLACE

POLICY = HostPolicy((), Secrets("R_", None, {}), variables=HostVariables("HOSTS", "SECRET_HOSTS"))


def version(kind: ModelVersionKind, architecture: str = "llama") -> ModelVersion:
    draft = ModelVersionDraft(
        request_id="",
        model_id="tiny",
        kind=kind,
        base_model_version_id="",
        artifact=Artifact("file:///a", "sha256:" + "0" * 64, 1),
        source=None,
        produced_by="",
        facts=ModelFacts(architecture, 8, 512),
    )
    return ModelVersion.of(draft, 1, datetime.now(UTC))


def write_chat_model(path: Path, *, architecture: str = "llama", num_ctx: int = 512) -> Path:
    path.parent.mkdir()
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_context_length(num_ctx)
    writer.add_file_type(15)
    writer.add_token_list(["<s>", "</s>", "<|im_end|>"])
    writer.add_eos_token_id(2)
    writer.add_eot_token_id(2)
    writer.add_tensor("token_embd.weight", np.zeros((2, 4), dtype=np.float32))
    for write in (
        writer.write_header_to_file,
        writer.write_kv_data_to_file,
        writer.write_tensors_to_file,
        writer.close,
    ):
        write()
    return path


async def ignore(done: int, total: int) -> None:
    assert 0 <= done <= total


async def test_a_gguf_becomes_a_store_with_its_stops_and_context_and_goes_into_another(tmp_path: Path) -> None:
    model = write_chat_model(tmp_path / "gguf" / "model.gguf")
    spec = ExportSpec("tiny@1", ExportForm.OLLAMA, "", "tiny-ollama", "", 0, "")
    source = ExportSource(spec, version(ModelVersionKind.GGUF), model.parent)
    (tmp_path / "work").mkdir()
    out = tmp_path / "work" / "form"
    notes = await OllamaWriter(GgufWriter()).write(source, out, ignore)
    assert any("chat template" in note for note in notes)
    card = cards.tested_card((out / "README.md").read_text(), "Measured as it is served.")
    for words in ("an Ollama store", "stored as Q4_K_M", "a context of 512", *notes, "Measured as it is served."):
        assert words in card
    assert (await FolderFacts().facts_of(out, ModelVersionKind.OLLAMA)).num_parameters == 8
    (manifest,) = (path for path in (out / "manifests").rglob("*") if path.is_file())
    document = json.loads(manifest.read_text())
    blobs = {layer["mediaType"].rpartition(".")[2]: layer["digest"] for layer in document["layers"]}
    parameters = json.loads((out / "blobs" / blobs["params"].replace(":", "-")).read_text())
    assert parameters == {"stop": ["<|im_end|>"], "num_ctx": 512}
    config = json.loads((out / "blobs" / document["config"]["digest"].replace(":", "-")).read_text())
    assert (config["model_family"], config["file_type"]) == ("llama", "Q4_K_M")

    store = tmp_path / "store"
    store.mkdir()
    async with open_client() as client:
        publisher = OllamaPublisher(store, client, POLICY)
        package = Package("p", "roo@1", 1, out, replace(PLACE, ollama_name="roo:q4"))
        location = await publisher.publish(package, ignore)
        assert location == f"registry.ollama.ai/library/roo:q4 in {store}"
        assert (store / "manifests/registry.ollama.ai/library/roo/q4").read_bytes() == manifest.read_bytes()
        (store / "manifests/registry.ollama.ai/library/roo/q4").write_bytes(manifest.read_bytes() + b" ")
        with pytest.raises(AlreadyExists):
            await publisher.publish(package, ignore)


async def test_what_ollama_knew_of_the_base_goes_along(tmp_path: Path) -> None:
    model = write_chat_model(tmp_path / "gguf" / "model.gguf")
    pulled = {"config": {"renderer": "qwen3-coder"}, "licenses": ["Apache License\nVersion 2.0"]}
    (model.parent / "ollama.json").write_text(json.dumps(pulled))
    for place, named in (("plain", {}), ("named", {"renderer": "qwen3-coder", "parser": "qwen3-coder"})):
        spec = ExportSpec("tiny@1", ExportForm.OLLAMA, "", "tiny-ollama", "", 0, "", **named)
        source = ExportSource(spec, version(ModelVersionKind.GGUF), model.parent)
        (tmp_path / place).mkdir()
        out = tmp_path / place / "form"
        notes = await OllamaWriter(GgufWriter()).write(source, out, ignore)
        stored = read_store(out)
        config = json.loads(stored.path_of(stored.manifest.config).read_bytes())
        assert stored.texts("license") == ("Apache License\nVersion 2.0",)
        assert any("renderer 'qwen3-coder'" in note for note in notes) == (place == "plain")
        # Without a template Ollama before 0.33 would write prompts of its own.
        assert config.get("requires") == ("0.33.0" if place == "plain" else None)
        assert {name: config.get(name, "") for name in named} == named and ("renderer" in config) == bool(named)


def test_ollama_s_own_code_is_named_for_its_form_alone() -> None:
    spec = ExportSpec("tiny@1", ExportForm.GGUF, "", "", "", 0, "", renderer="qwen3-coder")
    with pytest.raises(InvalidArgument, match="Only Ollama"):
        resolved(spec, version(ModelVersionKind.BASE))


async def test_addresses_that_are_none_and_hosts_that_may_not_be_asked_are_refused_at_once(tmp_path: Path) -> None:
    strict = HostPolicy(("ollama.example",), Secrets("R_", None, {}), variables=HostVariables("HOSTS", "SECRET_HOSTS"))
    async with open_client() as client:
        publisher = OllamaPublisher(tmp_path, client, strict)
        publisher.check(replace(PLACE, ollama_name="roo", address="http://ollama.example:11434"))
        for address in ("relative", "ftp://ollama.example", "http://"):
            with pytest.raises(InvalidArgument, match="neither a folder nor the address"):
                publisher.check(replace(PLACE, ollama_name="roo", address=address))
        with pytest.raises(InvalidArgument, match="REGISTRY_PUBLISH_ROOTS"):
            OllamaPublisher(Path("/srv"), client, strict, (tmp_path,)).check(replace(PLACE, ollama_name="roo"))
        with pytest.raises(PermissionDenied, match="HOSTS"):
            publisher.check(replace(PLACE, ollama_name="roo", address="http://other.example"))


def test_an_architecture_without_a_gguf_form_is_told_before_any_byte_with_the_forms_that_there_are() -> None:
    spec = ExportSpec("odd@1", ExportForm.GGUF, "Q8_0", "odd-gguf", "", 0, "")
    with pytest.raises(InvalidArgument, match="tiny@1: The architecture 'rwkv' is not converted") as refusal:
        GgufWriter().check(spec, version(ModelVersionKind.BASE, "rwkv"))
    assert "merged weights" in refusal.value.next_step and "llama" in refusal.value.next_step


@pytest.mark.parametrize(
    ("kind", "place", "words"),
    [
        (ModelVersionKind.GGUF, {"ollama_name": "roo"}, "drillyard models export tiny@1 --as ollama"),
        (ModelVersionKind.OLLAMA, {"hub_id": "a/b"}, "a hub takes no Ollama store"),
    ],
)
def test_a_version_goes_only_where_its_form_is_taken(kind: ModelVersionKind, place: dict[str, str], words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        check_kind(version(kind), replace(PLACE, **place))


@pytest.mark.parametrize(("asked", "num_ctx"), [(0, 32_768), (65_536, 65_536)])
async def test_the_context_is_what_the_protocol_takes_unless_one_is_asked_for(
    tmp_path: Path, asked: int, num_ctx: int
) -> None:
    model = write_chat_model(tmp_path / "gguf" / "model.gguf", architecture="qwen3moe", num_ctx=131_072)
    spec = ExportSpec("tiny@1", ExportForm.OLLAMA, "", "tiny-ollama", "roo_native", asked, "")
    (tmp_path / "work").mkdir()
    out = tmp_path / "work" / "form"
    source = ExportSource(spec, version(ModelVersionKind.GGUF), model.parent)
    notes = await OllamaWriter(GgufWriter()).write(source, out, ignore)
    assert json.loads(read_store(out).text("params"))["num_ctx"] == num_ctx
    assert any("twice what the longest prompts of roo_native take" in note for note in notes) == (not asked)
    assert any("renderer and a parser qwen3-coder of its own" in note for note in notes)
