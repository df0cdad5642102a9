"""Manifests of Ollama models: which blobs a model is made of, and what each of them is."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.chassis.errors import InvalidArgument
from services.registry.oci.artifact import digest_of

MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"
LAYER_PREFIX = "application/vnd.ollama.image."
MAX_MANIFEST_BYTES = 4 * 1024**2
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_MAX_LAYERS = 1024
_LEFT_ASIDE = {
    "projector": "The part that looks at images or hears sound is left aside: the model is imported for text alone.",
    "draft": "The draft model that guesses ahead is left aside: it changes the speed, not the answers.",
}
_FETCH_AGAIN = "Check the name, or fetch the model from another registry."


@dataclass(frozen=True)
class Layer:
    """One blob of a model."""

    media_type: str
    digest: str
    size: int

    @property
    def kind(self) -> str:
        """What it is to Ollama, such as `model` or `template`; empty for another media type."""
        return self.media_type.removeprefix(LAYER_PREFIX) if self.media_type.startswith(LAYER_PREFIX) else ""

    @property
    def file_name(self) -> str:
        """Its name in a store's folder of blobs."""
        return self.digest.replace(":", "-")


@dataclass(frozen=True)
class Manifest:
    """What a model is made of, in order."""

    config: Layer
    layers: tuple[Layer, ...]

    def of_kind(self, kind: str) -> tuple[Layer, ...]:
        """Return the layers of one kind, in order."""
        return tuple(layer for layer in self.layers if layer.kind == kind)

    @property
    def blobs(self) -> tuple[Layer, ...]:
        """Every blob once, the config last."""
        return tuple({layer.digest: layer for layer in (*self.layers, self.config)}.values())

    def to_bytes(self) -> bytes:
        """Return what a registry and a store keep."""
        document = {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": _entry(self.config),
            "layers": [_entry(layer) for layer in self.layers],
        }
        return json.dumps(document, separators=(",", ":")).encode()


def read_manifest(content: bytes) -> Manifest:
    """Return the manifest that these bytes are.

    Raises:
        InvalidArgument: They are none of schema 2, or name a blob by no SHA-256.
    """
    try:
        document = json.loads(content)
        config, layers = document["config"], document["layers"]
        if document["schemaVersion"] != 2 or not isinstance(layers, list) or len(layers) > _MAX_LAYERS:
            raise ValueError
        return Manifest(_layer(config), tuple(map(_layer, layers)))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise InvalidArgument("What the registry sent is no manifest of a model.", _FETCH_AGAIN) from error


def _layer(entry: Mapping[str, Any]) -> Layer:
    media_type, digest, size = entry["mediaType"], entry["digest"], entry["size"]
    # The digest becomes a file's name.
    if not isinstance(media_type, str) or not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise ValueError
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise ValueError
    return Layer(media_type, digest, size)


def _entry(layer: Layer) -> dict[str, object]:
    return {"mediaType": layer.media_type, "digest": layer.digest, "size": layer.size}


def layer_of(kind: str, content: bytes) -> Layer:
    """Return the layer that holds these bytes."""
    return Layer(LAYER_PREFIX + kind, digest_of(content), len(content))


def gguf_layers(manifest: Manifest) -> tuple[tuple[Layer, ...], tuple[str, ...]]:
    """Return the layers of the GGUF, several where it is split, and a sentence for each kind that is left aside.

    Raises:
        InvalidArgument: The model has no GGUF, or is an adapter.
    """
    models = manifest.of_kind("model")
    if manifest.of_kind("adapter"):
        raise InvalidArgument(
            "The model has an adapter on top of its weights, which cannot be read from Ollama's form.",
            "Import the base by its own name, and the adapter as the PEFT folder that it was made from.",
        )
    if not models and manifest.of_kind("tensor"):
        raise InvalidArgument(
            "The model is kept tensor by tensor, which only Ollama on MLX can read; it holds no GGUF.",
            "Choose a tag of the model with a GGUF, or import its safetensors original.",
        )
    if not models:
        raise InvalidArgument("The model holds no GGUF.", "Choose a tag of the model with a GGUF.")
    kinds = dict.fromkeys(layer.kind for layer in manifest.layers)
    return models, tuple(_LEFT_ASIDE[kind] for kind in kinds if kind in _LEFT_ASIDE)
