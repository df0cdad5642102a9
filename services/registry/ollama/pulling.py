"""Models of registries that speak Ollama's protocol, pulled without a running Ollama."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from services.chassis.errors import InvalidArgument, NotFound, Unavailable
from services.chassis.machine.files import remove_tree, write_atomically
from services.chassis.machine.guarded_http import open_client
from services.chassis.machine.hosts import HostPolicy
from services.lm.conversion.card import forbids_derivatives
from services.registry.domain.model_import import FetchedModel, ImportSource
from services.registry.downloads.download import Downloader
from services.registry.importers.inspection import plain
from services.registry.oci.artifact import digest_of
from services.registry.oci.pulling import fetch_blobs
from services.registry.oci.repository import Repository
from services.registry.ollama.manifest import MANIFEST_TYPE, Layer, Manifest, gguf_layers, read_manifest
from services.registry.ollama.names import OllamaName, parse_name
from services.registry.ollama.store import find_in_store, has_blob
from services.registry.ports import FetchPlace

FACTS_FILE = "ollama.json"
_FIELD = "source.ollama_tag"
_TEXT_KINDS = ("template", "system", "params", "messages", "license")
_MAX_TEXT_BYTES = 1024**2
_MAX_LICENCE = 100
_EXACT_TYPES = ("", "F32", "F16", "BF16", "unknown")


class OllamaSource:
    """Fetches the GGUF of a model with its template, parameters, licence and settings.

    Args:
        policy: Which hosts may be asked, and which secrets they may see.
        downloader: Fetches the blobs.
        stores: Folders of Ollama's models on this machine; a blob that one of them holds whole is not fetched.
    """

    def __init__(self, policy: HostPolicy, downloader: Downloader, stores: Sequence[Path] = ()) -> None:
        self._policy, self._downloader, self._stores = policy, downloader, stores

    def check(self, source: ImportSource) -> None:
        """Raise unless the text is a name, of a host that may be asked and see the secret."""
        self._login(source)

    async def fetch(self, source: ImportSource, place: FetchPlace) -> FetchedModel:
        """Return where the GGUF lies; `ollama.json` beside it holds what Ollama knows of the model.

        Raises:
            InvalidArgument: The model has no GGUF, or is an adapter; told before any blob is fetched.
            NotFound, PermissionDenied, FailedPrecondition, ResourceExhausted, Unavailable: As `Downloader.fetch`.
        """
        name, secret = self._login(source)
        async with open_client(self._policy.trusted_hosts, uses_proxies=True) as client:
            repository = Repository(client, name.repository_url, secret, check_host=self._policy.check_host)
            content, notes = await self._manifest(repository, name)
            manifest = read_manifest(content)
            weights, left_aside = gguf_layers(manifest)
            digest = digest_of(content)
            uri = f"ollama:{name}@{digest}"
            await place.check_new(uri)
            files = dict(zip(_file_names(len(weights)), weights, strict=True)) | _text_files(manifest)
            links = await self._held(files)
            missing = {file: layer for file, layer in files.items() if file not in links}
            await fetch_blobs(self._downloader, repository, missing, place)
        await asyncio.to_thread(_link, links, place.folder)
        facts = _facts(name, content, manifest, place.folder)
        await asyncio.to_thread(write_atomically, place.folder / FACTS_FILE, json.dumps(facts, indent=2))
        path = place.folder / next(iter(files))
        notes = (*notes, *left_aside, *_precision(facts["config"]), *_licence(facts["licenses"]))
        licence = _first_line(facts["licenses"])
        return FetchedModel(path, uri, notes, digest, (place.folder / FACTS_FILE,), licence)

    def _login(self, source: ImportSource) -> tuple[OllamaName, str]:
        name = parse_name(source.value, _FIELD)
        host = urlsplit(name.repository_url).hostname or ""
        self._policy.check_host(host)
        return name, self._policy.secret_for(source.secret, host, field="secret")

    async def _manifest(self, repository: Repository, name: OllamaName) -> tuple[bytes, tuple[str, ...]]:
        try:
            manifest = await repository.manifest(name.tag, (MANIFEST_TYPE,))
        except Unavailable as error:
            stored = next(filter(None, (find_in_store(store, name) for store in self._stores)), None)
            if stored is None:
                raise
            return stored.content, (f"The model of Ollama's store on this machine was taken: {error.problem}",)
        if manifest is None:
            raise NotFound(
                f"{name.host} has no model {name.namespace}/{name.name} with the tag {name.tag}.",
                "Check name and tag; a private model needs a secret.",
            )
        return manifest.content, ()

    async def _held(self, files: Mapping[str, Layer]) -> dict[str, Path]:
        """Where stores on this machine hold blobs, by the name of the file, each read and found whole."""
        held = {}
        for file, layer in files.items():
            for store in self._stores:
                path = store / "blobs" / layer.file_name
                if await has_blob(path, layer):
                    held[file] = path
                    break
        return held


def _file_names(count: int) -> list[str]:
    if count == 1:
        return ["model.gguf"]
    return [f"model-{number:05}-of-{count:05}.gguf" for number in range(1, count + 1)]


def _text_files(manifest: Manifest) -> dict[str, Layer]:
    texts = [manifest.config, *(layer for layer in manifest.layers if layer.kind in _TEXT_KINDS)]
    if any(layer.size > _MAX_TEXT_BYTES for layer in texts):
        raise InvalidArgument("The model's texts are longer than any that is read.", "Choose another model.")
    return {f"texts/{layer.file_name}": layer for layer in texts}


def _link(links: Mapping[str, Path], folder: Path) -> None:
    for file, target in links.items():
        place = folder / file
        place.parent.mkdir(parents=True, exist_ok=True)
        remove_tree(place)
        place.symlink_to(target)


def _facts(name: OllamaName, content: bytes, manifest: Manifest, folder: Path) -> dict[str, Any]:
    """What Ollama knows of the model, as JSON."""
    texts: dict[str, list[str]] = {kind: [] for kind in _TEXT_KINDS}
    for layer in manifest.layers:
        if layer.kind in texts:
            texts[layer.kind].append((folder / "texts" / layer.file_name).read_text("utf-8", "replace"))
    last = {kind: (found or [""])[-1] for kind, found in texts.items()}
    return {
        "name": str(name),
        "manifest_digest": digest_of(content),
        "config": _parsed((folder / "texts" / manifest.config.file_name).read_text("utf-8", "replace"), dict),
        "template": last["template"],
        "system": last["system"],
        "parameters": _parsed(last["params"], dict),
        "messages": _parsed(last["messages"], list),
        "licenses": texts["license"],
    }


def _parsed(text: str, kind: type[Any]) -> Any:
    try:
        document = json.loads(text or "null")
    except (ValueError, RecursionError):
        document = text
    if document is not None and not isinstance(document, kind):
        raise InvalidArgument("One of the model's settings is not in Ollama's form.", "Choose another model.")
    return kind() if document is None else document


def _licence(texts: Sequence[str]) -> tuple[str, ...]:
    if not any(map(forbids_derivatives, texts)):
        return ()
    return ("The licence forbids derivatives, which training makes: ask its makers before you pass such a one on.",)


def _first_line(texts: Sequence[str]) -> str:
    """Return the words by which a licence is known."""
    lines = (line.strip() for text in texts for line in text.splitlines())
    return plain(next(filter(None, lines), ""))[:_MAX_LICENCE]


def _precision(config: Mapping[str, Any]) -> tuple[str, ...]:
    number_type = str(config.get("file_type", ""))[:20]
    if number_type in _EXACT_TYPES:
        return ()
    return (
        f"The weights are quantised ({number_type}): what that lost stays lost when they are trained. Import their "
        "safetensors original instead where it can be had.",
    )
