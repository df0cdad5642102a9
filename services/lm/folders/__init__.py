"""Checking a model or adapter folder before any library opens it; light enough to run without torch."""

import hashlib
from pathlib import Path
from typing import Any, Final

from services.lm.errors import InvalidModelFile
from services.lm.folders.json_files import SAFE_COPY, check_no_remote_code, read_json
from services.lm.folders.templates import MAX_TEMPLATE_BYTES
from services.lm.folders.weights import weight_files

__all__ = ["MAX_TEMPLATE_BYTES", "check_adapter_folder", "check_model_folder", "check_no_remote_code", "folder_digest"]
__all__ += ["read_json"]

# What families name the longest sequence, in `config.json`.
CONTEXT_KEYS: Final = ("max_position_embeddings", "n_positions", "n_ctx", "max_sequence_length", "seq_length")
# Neither settings nor lists of settings, and large: the first two are the tokenizer's, the last the weights' index.
NO_SETTINGS: Final = frozenset({"tokenizer.json", "vocab.json", "model.safetensors.index.json"})
_REFUSED_SUFFIXES: Final = frozenset(
    {".bin", ".pt", ".pth", ".pkl", ".pickle", ".joblib", ".ckpt", ".py", ".so", ".npy"}
)


def check_model_folder(folder: Path) -> dict[str, Any]:
    """The parsed `config.json` of a folder that holds only safetensors weights, JSON and text.

    Raises:
        InvalidModelFile: A file is missing, could run code, or asks for remote code.
    """
    _check_files(folder)
    config = read_json(folder / "config.json")
    for file in folder.glob("*.json"):
        if file.name not in NO_SETTINGS:
            check_no_remote_code(read_json(file), file.name)
    if not isinstance(config.get("model_type"), str):
        raise InvalidModelFile("It names no model_type.", SAFE_COPY, "config.json")
    if (folder / "adapter_config.json").exists():
        raise InvalidModelFile(
            "The folder holds an adapter beside full weights.", "Move one of them out.", "adapter_config.json"
        )
    weight_files(folder)
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
        raise InvalidModelFile("adapter_model.safetensors is missing.", SAFE_COPY, str(folder))
    return config


def _names_own_class(key: str, value: object) -> bool:
    """Whether it is the class of transformers' own that PEFT notes for an adapter without a task."""
    library = value.get("parent_library") if key == "auto_mapping" and isinstance(value, dict) else None
    return isinstance(library, str) and library.startswith("transformers.models.")


def folder_digest(folder: Path) -> str:
    """SHA-256 over the paths and contents of the files below the folder: equal folders give equal digests."""
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        with file.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest()
        digest.update(f"{content} {file.relative_to(folder).as_posix()}\n".encode())
    return digest.hexdigest()


def _check_files(folder: Path) -> None:
    if not folder.is_dir():
        raise InvalidModelFile("There is no such folder.", "Check the path.", str(folder))
    for file in folder.rglob("*"):
        if file.suffix.lower() in _REFUSED_SUFFIXES:
            raise InvalidModelFile("A file of this kind can run code when it is loaded.", SAFE_COPY, file.name)
        if file.suffix == ".jinja" and file.stat().st_size > MAX_TEMPLATE_BYTES:
            raise InvalidModelFile(
                f"The chat template is larger than {MAX_TEMPLATE_BYTES} bytes.", "Choose another model.", file.name
            )
        if file.is_symlink() and not file.resolve().is_relative_to(folder.resolve()):
            raise InvalidModelFile("A link points out of the folder.", "Copy the files instead.", file.name)
