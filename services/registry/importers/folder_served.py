"""What folders in forms that other programs serve say about themselves: GGUF, a GGUF adapter, an Ollama store."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

from services.lm.conversion.header import Header, read_header
from services.lm.errors import InvalidModelFile

GGUF_FILE: Final = "model.gguf"
GGUF_ADAPTER_FILE: Final = "adapter.gguf"
_MODEL_LAYER: Final = "application/vnd.ollama.image.model"
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
# As llama.cpp numbers the mixes that are written here.
_NUMBER_TYPES: Final[dict[object, str]] = {
    0: "F32",
    1: "F16",
    2: "Q4_0",
    3: "Q4_1",
    7: "Q8_0",
    8: "Q5_0",
    9: "Q5_1",
    14: "Q4_K_S",
    15: "Q4_K_M",
    16: "Q5_K_S",
    17: "Q5_K_M",
    18: "Q6_K",
    32: "BF16",
    36: "TQ1_0",
    37: "TQ2_0",
}
_MAX_MANIFEST_BYTES: Final = 1024**2
_EXPORT_AGAIN: Final = "Export the model again."


def inspect_gguf(folder: Path) -> dict[str, Any]:
    """Return facts of a folder that holds `model.gguf`.

    Raises:
        InvalidModelFile: The file is missing, damaged or no model.
    """
    header = _header(folder / GGUF_FILE)
    if header.text("general.type", "model") != "model":
        raise InvalidModelFile("It holds no model.", _EXPORT_AGAIN, GGUF_FILE)
    return _facts(header)


def inspect_gguf_adapter(folder: Path) -> dict[str, Any]:
    """Return facts of a folder that holds `adapter.gguf`.

    Raises:
        InvalidModelFile: The file is missing, damaged or no LoRA adapter.
    """
    header = _header(folder / GGUF_ADAPTER_FILE)
    if (header.text("general.type"), header.text("adapter.type")) != ("adapter", "lora"):
        raise InvalidModelFile("It holds no LoRA adapter.", _EXPORT_AGAIN, GGUF_ADAPTER_FILE)
    return _facts(header)


def inspect_ollama(folder: Path) -> dict[str, Any]:
    """Return facts of a folder in the form of an Ollama store with one manifest, all of whose blobs are there.

    Raises:
        InvalidModelFile: The manifest or a blob is missing or damaged, or there is no GGUF among them.
    """
    manifest = _manifest(folder)
    models = []
    for layer in (manifest["config"], *manifest["layers"]):
        place = folder / "blobs" / str(layer["digest"]).replace(":", "-")
        if not _DIGEST.fullmatch(str(layer["digest"])) or not _is_file_of(place, layer["size"]):
            raise InvalidModelFile("A blob is missing or of another size.", _EXPORT_AGAIN, place.name[:80])
        models += [place] if layer["mediaType"] == _MODEL_LAYER else []
    if len(models) != 1:
        raise InvalidModelFile(f"The manifest names {len(models)} GGUF models, not one.", _EXPORT_AGAIN)
    return _facts(_header(models[0]))


def _manifest(folder: Path) -> dict[str, Any]:
    manifests = [place for place in (folder / "manifests").rglob("*") if place.is_file()]
    if len(manifests) != 1 or manifests[0].stat().st_size > _MAX_MANIFEST_BYTES:
        raise InvalidModelFile("The store does not hold one manifest of at most 1 MiB.", _EXPORT_AGAIN, "manifests")
    try:
        manifest = json.loads(manifests[0].read_bytes())
        for layer in (manifest["config"], *manifest["layers"]):
            _ = layer["mediaType"], layer["digest"], layer["size"]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InvalidModelFile("The manifest is damaged.", _EXPORT_AGAIN, manifests[0].name[:80]) from error
    return dict(manifest)


def _is_file_of(place: Path, size: object) -> bool:
    return place.is_file() and not place.is_symlink() and place.stat().st_size == size


def _header(file: Path) -> Header:
    if file.is_symlink() or not file.is_file():
        raise InvalidModelFile("The file is missing.", _EXPORT_AGAIN, file.name)
    return read_header(file)


def _facts(header: Header) -> dict[str, Any]:
    architecture = header.text("general.architecture")
    length = header.metadata.get(f"{architecture}.context_length", 0)
    return {
        "architecture": architecture[:60],
        "num_parameters": sum(tensor.num_elements for tensor in header.tensors),
        "context_length": length if isinstance(length, int) and 0 <= length < 2**31 else 0,
        "number_type": _NUMBER_TYPES.get(header.metadata.get("general.file_type"), ""),
        "stops": _stops(header),
    }


def _stops(header: Header) -> list[str]:
    """The texts of the tokens that end an answer."""
    tokens = header.metadata.get("tokenizer.ggml.tokens", [])
    ids = [header.metadata.get(f"tokenizer.ggml.{name}_token_id") for name in ("eos", "eot", "eom")]
    if not isinstance(tokens, list):
        return []
    known = [token for token in ids if isinstance(token, int) and 0 <= token < len(tokens)]
    return list(dict.fromkeys(str(tokens[token]) for token in known))
