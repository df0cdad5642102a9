"""Checks a model's folder and prints what it says: `python -m … KIND FOLDER`, in a limited process.

KIND is `source` or `adapter_source` (a folder from outside, of which only some files are taken), or of the registry's
own `full`, `adapter`, `gguf`, `gguf_adapter` or `ollama`.
Prints one line of JSON: `architecture`, `num_parameters`, `context_length`, for a `source` `files` and `left`; or
`problem` and `next_step`.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from services.lm.errors import InvalidModelFile
from services.lm.folders import (
    CONTEXT_KEYS,
    NO_SETTINGS,
    check_adapter_folder,
    check_model_folder,
    check_no_remote_code,
    read_json,
)
from services.lm.folders.licence import licence_text
from services.lm.folders.templates import FOLDER, MAX_TEMPLATES, read_templates
from services.lm.folders.weights import weight_files
from services.registry.importers.folder_served import inspect_gguf, inspect_gguf_adapter, inspect_ollama
from services.registry.importers.folder_weights import check_not_pickled, count_all
from services.registry.importers.safetensors_header import HeaderError, count_parameters

SIDE_FILES: Final = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
    "model.safetensors.index.json",
)
_ADAPTER: Final = ("adapter_config.json", "adapter_model.safetensors")
_FRONT_MATTER: Final = re.compile(r"---\s*\n(.*?)\n---", re.DOTALL)
_LICENCE: Final = re.compile(r"^(license(?:_name|_link)?):[ \t]*([\w.:/\"' -]{1,200})$", re.MULTILINE)
CARD: Final = "README.md"
PROVENANCE: Final = "drillyard.json"
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_MAX_CARD: Final = 64 * 1024
_MAX_BASE: Final = 400
_MAX_TEXT_BYTES: Final = 64 * 1024**2
_MAX_TEMPLATE_BYTES: Final = 256 * 1024
_SAFE: Final = "Ask for a copy in safetensors form without code, or convert it where you trust it."
_FULL: Final = "Import the weights that it is made for, from a folder of their own."


def inspect_source(folder: Path) -> dict[str, Any]:
    """Return facts, the files to take and the names of what is left, which is never opened, of a folder from outside.

    Raises:
        InvalidModelFile: It holds no model, two of them, or weights or settings that could run code.
    """
    entries = sorted(folder.iterdir())
    names = [entry.name for entry in entries]
    if _ADAPTER[0] in names:
        raise InvalidModelFile("The folder holds an adapter beside full weights.", _FULL, _ADAPTER[0])
    check_not_pickled(names)
    side_files = [*(entry for entry in entries if entry.name in SIDE_FILES), *_templates(folder)]
    for entry in side_files:
        _check_file(entry, folder)
    weights = weight_files(folder)
    for entry in weights:
        _check_file(entry, folder)
    config = read_json(folder / "config.json")
    for entry in side_files:
        if entry.suffix == ".json" and entry.name not in NO_SETTINGS:
            check_no_remote_code(read_json(entry), entry.name)
    _check_full(config, quantized=False)
    read_templates(folder)
    num_parameters = count_all(folder, weights)
    files = {entry.relative_to(folder).as_posix(): entry.stat().st_size for entry in (*side_files, *weights)}
    left = [entry.name + "/" * entry.is_dir() for entry in entries if entry.name not in {*files, FOLDER, CARD}]
    return _facts(config, num_parameters) | {"files": files, "left": left, "licence": card_licence(folder)}


def inspect_adapter_source(folder: Path) -> dict[str, Any]:
    """Return the files to take of a PEFT folder from outside, what is left, and the base that it names.

    Raises:
        InvalidModelFile: Its weights are missing or pickled, or its settings ask for code.
    """
    entries = sorted(folder.iterdir())
    check_not_pickled([entry.name for entry in entries])
    for name in _ADAPTER:
        _check_file(folder / name, folder)
    config = read_json(folder / _ADAPTER[0])
    files = {name: (folder / name).stat().st_size for name in _ADAPTER}
    left = [entry.name + "/" * entry.is_dir() for entry in entries if entry.name not in {*files, CARD, PROVENANCE}]
    base = str(config.get("base_model_name_or_path") or "")[:_MAX_BASE]
    facts = {"licence": card_licence(folder), "base": base, "base_digest": _base_digest(folder)}
    return {"files": files, "left": left, **facts}


def inspect_full(folder: Path) -> dict[str, Any]:
    """Return facts of a folder of full weights."""
    config = check_model_folder(folder)
    _check_full(config, quantized=True)
    return _facts(config, count_all(folder, weight_files(folder)))


def inspect_adapter(folder: Path) -> dict[str, Any]:
    """Return facts of a PEFT adapter folder; architecture and length are those of its base."""
    check_adapter_folder(folder)
    file = folder / "adapter_model.safetensors"
    try:
        return {"architecture": "", "num_parameters": count_parameters(file), "context_length": 0}
    except HeaderError as error:
        raise InvalidModelFile(f"The file {error}.", "Fetch it again.", file.name) from error


def card_licence(folder: Path) -> str:
    """The licence that the model's card names in its front matter; empty for none."""
    card = folder / CARD
    if not card.is_file() or not card.resolve().is_relative_to(folder.resolve().parent.parent):
        return ""
    with card.open(encoding="utf-8", errors="replace") as stream:
        front = _FRONT_MATTER.match(stream.read(_MAX_CARD))
    words = dict(_LICENCE.findall(front[1])) if front else {}
    return licence_text(*(words.get(f"license{part}", "").strip(" \"'") for part in ("", "_name", "_link")))


def _base_digest(folder: Path) -> str:
    """The digest of the base's folder that an exported adapter brings with it; empty for none."""
    file = folder / PROVENANCE
    if not file.exists():
        return ""
    _check_place(file, folder)
    digest = str(read_json(file).get("base_digest") or "")
    return digest if _DIGEST.fullmatch(digest) else ""


def _templates(folder: Path) -> list[Path]:
    """The templates that transformers takes by their files' names."""
    place = folder / FOLDER
    if place.is_symlink():
        raise InvalidModelFile("A link points to another folder.", "Copy the files instead.", FOLDER)
    templates = sorted(place.glob("*.jinja"))
    if len(templates) > MAX_TEMPLATES:
        raise InvalidModelFile(f"It holds more than {MAX_TEMPLATES} chat templates.", "Choose another model.", FOLDER)
    return templates


def _check_file(entry: Path, folder: Path) -> None:
    _check_place(entry, folder)
    _check_content(entry)


def _check_place(entry: Path, folder: Path) -> None:
    if not entry.is_file():
        raise InvalidModelFile("It is not a regular file.", "Copy the files instead.", entry.name)
    # The Hugging Face cache links `snapshots/<commit>/…` to `blobs/…`; no other link may leave the folder.
    blobs = folder.resolve().parent.parent / "blobs"
    real = entry.resolve()
    if not real.is_relative_to(folder.resolve()) and real.parent != blobs:
        raise InvalidModelFile("A link points out of the folder.", "Copy the files instead.", entry.name)


def _check_content(entry: Path) -> None:
    is_template = entry.suffix == ".jinja" or entry.name.startswith("chat_template")
    limit = _MAX_TEMPLATE_BYTES if is_template else _MAX_TEXT_BYTES
    if entry.suffix != ".safetensors" and entry.stat().st_size > limit:
        raise InvalidModelFile(f"The file is larger than {limit} bytes.", _SAFE, entry.name)
    with entry.open("rb") as stream:
        begin = stream.read(4)
    if begin.startswith(b"PK\x03\x04") or (begin[:1] == b"\x80" and begin[1:2] in b"\x02\x03\x04\x05" and begin[1:2]):
        raise InvalidModelFile("Its content is a pickle or an archive, whatever its name says.", _SAFE, entry.name)


def _check_full(config: dict[str, Any], *, quantized: bool) -> None:
    if not isinstance(config.get("model_type"), str) or not config["model_type"].replace("_", "").isalnum():
        raise InvalidModelFile("It names no model_type.", "Choose a folder in Hugging Face form.", "config.json")
    if not quantized and config.get("quantization_config"):
        raise InvalidModelFile(
            "The weights are quantized, and such weights can't be trained.",
            "Import the original weights.",
            "config.json",
        )


def _facts(config: dict[str, Any], num_parameters: int) -> dict[str, Any]:
    lengths = [config[name] for name in CONTEXT_KEYS if isinstance(config.get(name), int) and 0 < config[name] < 2**31]
    return {
        "architecture": config["model_type"][:60],
        "num_parameters": num_parameters,
        "context_length": next(iter(lengths), 0),
    }


_INSPECTIONS: Final[dict[str, Callable[[Path], dict[str, Any]]]] = {
    "source": inspect_source,
    "adapter_source": inspect_adapter_source,
    "full": inspect_full,
    "adapter": inspect_adapter,
    "gguf": inspect_gguf,
    "gguf_adapter": inspect_gguf_adapter,
    "ollama": inspect_ollama,
}


def main(arguments: list[str]) -> int:
    """Print the facts, or why there are none."""
    kind, folder = arguments
    try:
        print(json.dumps(_INSPECTIONS[kind](Path(folder))))
    except InvalidModelFile as error:
        print(json.dumps({"problem": error.located_problem, "next_step": error.next_step}))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
