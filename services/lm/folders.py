"""Checking a model or adapter folder before any library opens it; light enough to run without torch."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Final

from services.lm.errors import InvalidModelFile

MAX_JSON_BYTES: Final = 4 << 20
MAX_TEMPLATE_BYTES: Final = 1 << 20
_MAX_NESTING: Final = 32
_REMOTE_CODE_KEYS: Final = frozenset({"auto_map", "trust_remote_code", "custom_pipelines", "auto_mapping"})
# Written by transformers itself in ordinary folders, and read by nothing that acts on it.
_HARMLESS_PRIVATE_KEYS: Final = frozenset({"_name_or_path", "_from_model_config", "_commit_hash", "_diffusers_version"})
_REFUSED_SUFFIXES: Final = frozenset(
    {".bin", ".pt", ".pth", ".pkl", ".pickle", ".joblib", ".ckpt", ".py", ".so", ".npy"}
)
_SAFE_COPY: Final = "Ask for a copy in safetensors form without code, or convert it where you trust it."


def check_model_folder(folder: Path) -> dict[str, Any]:
    """The parsed `config.json` of a folder that holds only safetensors weights, JSON and text.

    Raises:
        InvalidModelFile: A file is missing, could run code, or asks for remote code.
    """
    _check_files(folder)
    config = read_json(folder / "config.json")
    for file in folder.glob("*.json"):
        if file.name not in ("tokenizer.json", "vocab.json"):
            check_no_remote_code(read_json(file), file.name)
    if not isinstance(config.get("model_type"), str):
        raise InvalidModelFile("It names no model_type.", _SAFE_COPY, "config.json")
    if not any(folder.glob("*.safetensors")):
        raise InvalidModelFile("The folder holds no safetensors file.", _SAFE_COPY, str(folder))
    return config


def check_adapter_folder(folder: Path) -> dict[str, Any]:
    """The parsed `adapter_config.json` of a folder that holds a LoRA adapter as safetensors.

    Raises:
        InvalidModelFile: A file is missing, could run code, or the adapter is not a LoRA.
    """
    _check_files(folder)
    config = read_json(folder / "adapter_config.json")
    acting = {key: value for key, value in config.items() if value is not None and not _names_own_class(key, value)}
    check_no_remote_code(acting, "adapter_config.json")
    if config.get("peft_type") != "LORA":
        raise InvalidModelFile(
            f"The adapter is of the kind {config.get('peft_type')!r}, only LORA is supported.",
            "Choose a LoRA adapter.",
            "adapter_config.json",
        )
    if not (folder / "adapter_model.safetensors").is_file():
        raise InvalidModelFile("adapter_model.safetensors is missing.", _SAFE_COPY, str(folder))
    return config


def _names_own_class(key: str, value: object) -> bool:
    """Whether it is the class of transformers' own that PEFT notes for an adapter without a task."""
    library = value.get("parent_library") if key == "auto_mapping" and isinstance(value, dict) else None
    return isinstance(library, str) and library.startswith("transformers.models.")


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`, bounded in size.

    Raises:
        InvalidModelFile: It is missing, too large, or not a JSON object.
    """
    if not path.is_file():
        raise InvalidModelFile("The file is missing.", "Choose the folder that holds the model's files.", str(path))
    if path.stat().st_size > MAX_JSON_BYTES:
        raise InvalidModelFile(f"The file is larger than {MAX_JSON_BYTES} bytes.", _SAFE_COPY, path.name)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise InvalidModelFile("The file is not valid JSON.", "Fetch it again.", path.name) from error
    if not isinstance(content, dict):
        raise InvalidModelFile("The file does not hold a JSON object.", "Fetch it again.", path.name)
    return content


def check_no_remote_code(value: object, place: str, depth: int = 0) -> None:
    """Pass when no key, at any depth, could make a library fetch or run code.

    Raises:
        InvalidModelFile: One could.
    """
    if depth > _MAX_NESTING:
        raise InvalidModelFile("The nesting is too deep.", _SAFE_COPY, place)
    if isinstance(value, list):
        for item in value:
            check_no_remote_code(item, place, depth + 1)
    if not isinstance(value, dict):
        return
    for key, item in value.items():
        if key in _REMOTE_CODE_KEYS or (key.startswith("_") and key not in _HARMLESS_PRIVATE_KEYS):
            raise InvalidModelFile(f"The key {key[:60]!r} could make a library run foreign code.", _SAFE_COPY, place)
        check_no_remote_code(item, place, depth + 1)


def folder_digest(folder: Path) -> str:
    """SHA-256 over the names and contents of the folder's files: equal folders give equal digests."""
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.iterdir() if path.is_file()):
        with file.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest()
        digest.update(f"{content} {file.name}\n".encode())
    return digest.hexdigest()


def _check_files(folder: Path) -> None:
    if not folder.is_dir():
        raise InvalidModelFile("There is no such folder.", "Check the path.", str(folder))
    for file in folder.rglob("*"):
        if file.suffix.lower() in _REFUSED_SUFFIXES:
            raise InvalidModelFile("A file of this kind can run code when it is loaded.", _SAFE_COPY, file.name)
        if file.suffix == ".jinja" and file.stat().st_size > MAX_TEMPLATE_BYTES:
            raise InvalidModelFile(
                f"The chat template is larger than {MAX_TEMPLATE_BYTES} bytes.", "Choose another model.", file.name
            )
        if file.is_symlink() and not file.resolve().is_relative_to(folder.resolve()):
            raise InvalidModelFile("A link points out of the folder.", "Copy the files instead.", file.name)
