"""Store folders of Ollama: `manifests/host/namespace/name/tag` beside `blobs/sha256-…`."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from services.chassis.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, ResourceExhausted
from services.chassis.machine.files import link_or_copy, written_whole
from services.chassis.wire.names import shown
from services.registry.importers.source_files import pour
from services.registry.oci.artifact import digest_of
from services.registry.ollama.manifest import (
    CONFIG_TYPE,
    MAX_MANIFEST_BYTES,
    Layer,
    Manifest,
    layer_of,
    read_manifest,
)
from services.registry.ollama.names import OllamaName, parse_name
from services.registry.ports import Progress

# A starting Ollama removes blobs that no manifest names yet.
_ROUNDS = 3
_UNITS = ((10**9, "B", 1), (10**6, "M", 2), (10**3, "K", 0))
_AGAIN = "Export the model again."


@dataclass(frozen=True)
class OllamaModel:
    """What a model of Ollama is made of.

    Attributes:
        gguf: The file of its weights.
        config: What Ollama reads before it loads the model; see `config_of`.
        template: In the language of Go; empty to leave the prompt to the GGUF's own chat template.
        system: Put before each conversation that brings no system message of its own.
        parameters: Such as `{"stop": ["<|im_end|>"], "num_ctx": 4096}`.
        licenses: Texts.
    """

    gguf: Path
    config: Mapping[str, object]
    template: str = ""
    system: str = ""
    parameters: Mapping[str, object] = field(default_factory=dict)
    licenses: tuple[str, ...] = ()


@dataclass(frozen=True)
class StoredModel:
    """A model in a store folder; `content` is its manifest's bytes."""

    folder: Path
    name: OllamaName
    content: bytes

    @property
    def manifest(self) -> Manifest:
        """Which blobs it is made of."""
        return read_manifest(self.content)

    def path_of(self, layer: Layer) -> Path:
        """Return where a blob lies."""
        return self.folder / "blobs" / layer.file_name

    def texts(self, kind: str) -> tuple[str, ...]:
        """Return the texts of the layers of one kind, such as `template`."""
        return tuple(self.path_of(layer).read_text("utf-8") for layer in self.manifest.of_kind(kind))

    def text(self, kind: str) -> str:
        """Return the text of the last layer of one kind, which is the one that Ollama takes; empty for none."""
        return (self.texts(kind) or ("",))[-1]


def config_of(architecture: str, num_parameters: int, number_type: str, **named: str) -> dict[str, object]:
    """Return what Ollama reads before it loads a GGUF.

    Args:
        architecture: As the GGUF says, such as `llama`.
        num_parameters: Numbers in its tensors.
        number_type: Of its matrices, such as `Q4_K_M`.
        named: `renderer`, the code in Ollama that writes prompts, and `parser`, that which reads answers, instead of
            the template; `requires`, the oldest Ollama that does as the model needs. Empty for none.
    """
    return {
        "model_format": "gguf",
        "model_family": architecture,
        "model_families": [architecture],
        "model_type": _human(num_parameters),
        "file_type": number_type,
        **{name: text for name, text in named.items() if text},
    }


def write_store(folder: Path, name: str, model: OllamaModel) -> str:
    """Write a new store folder that holds one model, and return its manifest's digest; the GGUF is linked or copied.

    Raises:
        InvalidArgument: The name is none, or the GGUF is not there.
    """
    place = parse_name(name)
    if not model.gguf.is_file():
        raise InvalidArgument(f"{shown(str(model.gguf))} is not a file.", "Name the GGUF of the model.")
    blobs = folder / "blobs"
    blobs.mkdir(parents=True)
    with model.gguf.open("rb") as stream:
        digest = f"sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"
    weights = Layer("application/vnd.ollama.image.model", digest, model.gguf.stat().st_size)
    link_or_copy(model.gguf, blobs / weights.file_name)
    contents = [(kind, text.encode()) for kind, text in _texts(model)]
    config = _compact(model.config)
    for content in (*(content for _, content in contents), config):
        _write(blobs / digest_of(content).replace(":", "-"), content)
    manifest = Manifest(
        Layer(CONFIG_TYPE, digest_of(config), len(config)),
        (weights, *(layer_of(kind, content) for kind, content in contents)),
    ).to_bytes()
    _write(folder / place.manifest_path, manifest)
    return digest_of(manifest)


def _texts(model: OllamaModel) -> list[tuple[str, str]]:
    texts = [("template", model.template), ("system", model.system)]
    if model.parameters:
        texts.append(("params", _compact(model.parameters).decode()))
    return [(kind, text) for kind, text in (*texts, *(("license", text) for text in model.licenses)) if text]


def _compact(document: Mapping[str, object]) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def _human(number: int) -> str:
    for unit, letter, digits in _UNITS:
        if number >= unit:
            return f"{number / unit:.{0 if number % unit == 0 else digits}f}{letter}"
    return str(number)


def read_store(folder: Path) -> StoredModel:
    """Return the one model of a store folder that `write_store` wrote.

    Raises:
        FailedPrecondition: It holds none, or several.
    """
    root = folder / "manifests"
    paths = [path for path in root.rglob("*") if path.is_file()]
    if len(paths) != 1:
        raise FailedPrecondition(f"The folder holds {len(paths)} models in Ollama's form, not one.", _AGAIN)
    return _stored(folder, OllamaName(*paths[0].relative_to(root).parts))


def find_in_store(folder: Path, name: OllamaName) -> StoredModel | None:
    """Return the model of that name in a store folder, or None."""
    return _stored(folder, name) if (folder / name.manifest_path).is_file() else None


def _stored(folder: Path, name: OllamaName) -> StoredModel:
    path = folder / name.manifest_path
    if path.stat().st_size > MAX_MANIFEST_BYTES:
        raise FailedPrecondition(f"The manifest of {name} is too long.", _AGAIN)
    return StoredModel(folder, name, path.read_bytes())


async def publish_to_store(
    source: Path, name: str, store: Path, *, replace: bool = False, progress: Progress
) -> OllamaName:
    """Put the one model of the folder `source` into an existing store under `name`; progress is in bytes.

    Blobs come first, each checked by its digest; the manifest appears last and whole. What the store holds already is
    used after its digest was checked. Repeating it changes nothing.

    Raises:
        AlreadyExists: The store has another model of that name, and `replace` is false.
        NotFound: There is no store folder.
        ResourceExhausted: The disk has no room.
        FailedPrecondition: The source changed, or something removes blobs from the store.
    """
    model, place = read_store(source), parse_name(name)
    if not store.is_absolute() or not await asyncio.to_thread(store.is_dir):
        raise NotFound(
            f"There is no folder {shown(str(store))} on the registry's machine.",
            "Name the folder of Ollama's models, such as /usr/share/ollama/.ollama/models.",
        )
    existing = find_in_store(store, place)
    if existing and existing.content != model.content and not replace:
        raise AlreadyExists(f"The store has a model {place} already.", "Choose another name, or ask to replace it.")
    target = StoredModel(store, place, model.content)
    await asyncio.to_thread(target.path_of(model.manifest.config).parent.mkdir, exist_ok=True)
    _check_space(model, target)
    for _ in range(_ROUNDS):
        await _put_blobs(model, target, progress)
        await asyncio.to_thread(_write, store / place.manifest_path, model.content)
        if all(target.path_of(layer).is_file() for layer in model.manifest.blobs):
            return place
    raise FailedPrecondition("Something removes blobs from the store while they are written.", "Try again.")


def _check_space(model: StoredModel, target: StoredModel) -> None:
    needed = sum(layer.size for layer in model.manifest.blobs if not target.path_of(layer).exists())
    free = shutil.disk_usage(target.folder).free
    if free < needed:
        raise ResourceExhausted(
            f"The model needs {needed} bytes in {target.folder}, where {free} bytes are free.",
            "Free space there, or name a store on another disk.",
        )


async def _put_blobs(model: StoredModel, target: StoredModel, progress: Progress) -> None:
    blobs = model.manifest.blobs
    done, total = 0, sum(layer.size for layer in blobs)
    for layer in blobs:
        await progress(done, total)
        if not await has_blob(target.path_of(layer), layer):
            await _copy(model.path_of(layer), target.path_of(layer), layer)
        done += layer.size
    await progress(done, total)


async def has_blob(path: Path, layer: Layer) -> bool:
    """Whether a blob lies there whole: of its size and digest."""
    hasher = hashlib.sha256()
    if not await asyncio.to_thread(_has_size, path, layer.size):
        return False
    await pour(path, hasher.update)
    return f"sha256:{hasher.hexdigest()}" == layer.digest


def _has_size(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size


async def _copy(source: Path, target: Path, layer: Layer) -> None:
    hasher = hashlib.sha256()
    with written_whole(target) as out:

        def keep(block: bytes) -> None:
            hasher.update(block)
            out.write(block)

        await pour(source, keep)
        if f"sha256:{hasher.hexdigest()}" != layer.digest:
            raise FailedPrecondition(f"The stored blob {layer.digest} is not what its name says.", _AGAIN)


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as out:
        out.write(content)
