"""Checks a model's folder and prints what it says: `python -m … KIND FOLDER`, in a limited process.

KIND is `source` (a folder from outside, of which only some files are taken), `full` or `adapter` (the registry's own).
Prints one line of JSON: `architecture`, `num_parameters`, `context_length`, `files`; or `problem` and `next_step`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

from services.lm.errors import InvalidModelFile
from services.lm.folders import check_adapter_folder, check_model_folder, check_no_remote_code, read_json
from services.registry.importers.safetensors_header import HeaderError, count_parameters

_WEIGHTS: Final = "*.safetensors"
# Some hubs put a second copy of the weights, in their maker's own layout, beside the first.
_SECOND_COPY: Final = "consolidated*.safetensors"
_TAKEN: Final = (
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
    _WEIGHTS,
)
_CODE: Final = frozenset({".bin", ".pt", ".pth", ".pkl", ".pickle", ".joblib", ".ckpt", ".py", ".so", ".npy", ".npz"})
_MAX_TEXT_BYTES: Final = 64 * 1024**2
_MAX_TEMPLATE_BYTES: Final = 256 * 1024
_SAFE: Final = "Ask for a copy in safetensors form without code, or convert it where you trust it."
_LENGTHS: Final = ("max_position_embeddings", "n_positions", "n_ctx", "max_sequence_length")


def inspect_source(folder: Path) -> dict[str, Any]:
    """Return facts and the files to take of a folder from outside.

    Raises:
        InvalidModelFile: It holds no model, or something that could run code.
    """
    entries = sorted(folder.iterdir())
    if any(entry.name == "adapter_config.json" for entry in entries):
        raise InvalidModelFile("The folder holds an adapter, not full weights.", "Import the weights it is made for.")
    taken = [entry for entry in entries if _is_taken(entry, folder)]
    if not any(fnmatchcase(entry.name, _WEIGHTS) for entry in taken):
        raise InvalidModelFile("The folder holds no safetensors file.", _SAFE)
    config = read_json(folder / "config.json")
    for entry in taken:
        if entry.suffix == ".json" and entry.name not in ("tokenizer.json", "vocab.json"):
            check_no_remote_code(read_json(entry), entry.name)
    _check_full(config, quantized=False)
    return _facts(config, taken) | {"files": {entry.name: entry.stat().st_size for entry in taken}}


def inspect_full(folder: Path) -> dict[str, Any]:
    """Return facts of a folder of full weights."""
    config = check_model_folder(folder)
    _check_full(config, quantized=True)
    return _facts(config, list(folder.iterdir()))


def inspect_adapter(folder: Path) -> dict[str, Any]:
    """Return facts of a PEFT adapter folder; architecture and length are those of its base."""
    check_adapter_folder(folder)
    return {"architecture": "", "num_parameters": _count([folder / "adapter_model.safetensors"]), "context_length": 0}


def _is_taken(entry: Path, folder: Path) -> bool:
    if entry.suffix.lower() in _CODE:
        raise InvalidModelFile("A file of this kind can run code when it is loaded.", _SAFE, entry.name)
    is_named = any(fnmatchcase(entry.name, pattern) for pattern in _TAKEN)
    if not is_named or fnmatchcase(entry.name, _SECOND_COPY):
        return False
    _check_place(entry, folder)
    _check_content(entry)
    return True


def _check_place(entry: Path, folder: Path) -> None:
    if not entry.is_file():
        raise InvalidModelFile("It is not a regular file.", "Copy the files instead.", entry.name)
    # The Hugging Face cache links `snapshots/<commit>/…` to `blobs/…`; no other link may leave the folder.
    blobs = folder.resolve().parent.parent / "blobs"
    real = entry.resolve()
    if not real.is_relative_to(folder.resolve()) and real.parent != blobs:
        raise InvalidModelFile("A link points out of the folder.", "Copy the files instead.", entry.name)


def _check_content(entry: Path) -> None:
    limit = _MAX_TEMPLATE_BYTES if entry.name.startswith("chat_template") else _MAX_TEXT_BYTES
    if not fnmatchcase(entry.name, _WEIGHTS) and entry.stat().st_size > limit:
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


def _facts(config: dict[str, Any], files: list[Path]) -> dict[str, Any]:
    weights = [entry for entry in files if fnmatchcase(entry.name, _WEIGHTS)]
    lengths = [config[name] for name in _LENGTHS if isinstance(config.get(name), int) and 0 < config[name] < 2**31]
    return {
        "architecture": config["model_type"][:60],
        "num_parameters": _count(weights),
        "context_length": next(iter(lengths), 0),
    }


def _count(weights: list[Path]) -> int:
    total = 0
    for path in weights:
        try:
            total += count_parameters(path)
        except HeaderError as error:
            raise InvalidModelFile(f"The file {error}.", "Fetch it again.", path.name) from error
    return total


_INSPECTIONS: Final[dict[str, Callable[[Path], dict[str, Any]]]] = {
    "source": inspect_source,
    "full": inspect_full,
    "adapter": inspect_adapter,
}


def main(arguments: list[str]) -> int:
    """Print the facts, or why there are none."""
    kind, folder = arguments
    try:
        print(json.dumps(_INSPECTIONS[kind](Path(folder))))
    except InvalidModelFile as error:
        problem = f"{error.place}: {error.problem}" if error.place else error.problem
        print(json.dumps({"problem": problem, "next_step": error.next_step}))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
