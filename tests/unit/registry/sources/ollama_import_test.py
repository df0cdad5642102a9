"""Imports of models that registries keep in Ollama's form, from pull to trainable weights."""

import json
from pathlib import Path

from services.registry.domain.model_import import ImportSource, SourceKind
from services.registry.ollama.store import OllamaModel, config_of, read_store, write_store
from tests.unit.lm.gguf.models import write as write_gguf
from tests.unit.registry.sources.file_server import FileServer, serving_files
from tests.unit.registry.sources.imports import Registry


def offer(server: FileServer, folder: Path, gguf: Path, template: str) -> ImportSource:
    write_store(folder, "tiny:f32", OllamaModel(gguf, config_of("llama", 100_000, "F32"), template=template))
    model = read_store(folder)
    server.files["/v2/library/tiny/manifests/f32"] = model.content
    for layer in model.manifest.blobs:
        server.files[f"/v2/library/tiny/blobs/{layer.digest}"] = model.path_of(layer).read_bytes()
    return ImportSource(SourceKind.OLLAMA_TAG, f"127.0.0.1:{server.port}/library/tiny:f32")


async def test_a_pulled_model_is_trainable_and_keeps_what_ollama_knows_of_it(
    registry: Registry, tmp_path: Path
) -> None:
    gguf = write_gguf(tmp_path / "tiny.gguf")
    async with serving_files() as server:
        source = offer(server, tmp_path / "one", gguf, "{{ .Prompt }}")
        for _ in range(2):
            job = await registry.run_from(source)
            assert job.result == {"model_version_id": "tiny@1"}, job.error
        # What was imported before is not fetched again.
        asked = [asked.path for asked in server.requests if "/blobs/" in asked.path and asked.method == "GET"]
        assert len(asked) == len(set(asked))
        job = await registry.run_from(offer(server, tmp_path / "two", gguf, "[{{ .Prompt }}]"))
    assert job.result == {"model_version_id": "tiny@2"}, job.error
    for version, template in zip(await registry.versions(), ("[{{ .Prompt }}]", "{{ .Prompt }}"), strict=True):
        folder = await registry.artifacts.local_path(version.artifact.uri)
        assert {"config.json", "model.safetensors", "tokenizer.json"} <= {path.name for path in folder.iterdir()}
        assert json.loads((folder / "ollama.json").read_text())["template"] == template
        assert version.source and version.source.uri.startswith("ollama:127.0.0.1:")
    assert registry.leftovers() == []
