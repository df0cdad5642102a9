"""Which files of a folder are the model's weights: one set, all of it, and no second one that could be meant."""

import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from services.lm.errors import InvalidModelFile
from services.lm.folders.json_files import MAX_INDEX_BYTES, SAFE_COPY, read_json

SINGLE: Final = "model.safetensors"
INDEX: Final = "model.safetensors.index.json"
# The maker's own layout, which some hubs keep beside the one that transformers loads.
MAKERS_COPY: Final = "consolidated*.safetensors"
_CHOICE: Final = "transformers_weights"
# What trainers keep to go on from: moments, rates and random numbers, under names of their own.
_STATE: Final = re.compile(r"(optim|scheduler|scaler|rng|random|training|trainer)[\w.-]*\.safetensors")
_SHARD: Final = re.compile(r"model-(\d{5})-of-(\d{5})\.safetensors")
_KEEP_ONE: Final = "Leave only the files in the folder that you mean, or save the model into a new folder."


def weight_files(folder: Path) -> tuple[Path, ...]:
    """The safetensors files that are the model, in order; nothing else in the folder could be meant.

    Raises:
        InvalidModelFile: There are none, some are missing, or the folder holds a second set of weights.
    """
    names = {file.name for file in folder.glob("*.safetensors")}
    present = {name for name in names if not fnmatchcase(name, MAKERS_COPY) and not _STATE.fullmatch(name)}
    weights = _indexed(folder, present) if (folder / INDEX).is_file() else _unindexed(present)
    others = sorted(present - weights)
    if others:
        raise InvalidModelFile(
            f"The folder holds other weights beside {_some(weights)}: {_some(others)}.", _KEEP_ONE, others[0]
        )
    _check_choice(folder, weights)
    return tuple(folder / name for name in sorted(weights))


def weight_map(folder: Path) -> dict[str, str]:
    """The file of each tensor as the folder's index names it; empty without an index.

    Raises:
        InvalidModelFile: It names something else than files of this folder.
    """
    if not (folder / INDEX).is_file():
        return {}
    names = read_json(folder / INDEX, max_bytes=MAX_INDEX_BYTES).get("weight_map")
    if not isinstance(names, dict) or not names or not all(_is_plain(name) for name in names.values()):
        raise InvalidModelFile("Its weight_map does not name files of this folder.", "Fetch it again.", INDEX)
    return names


def _indexed(folder: Path, present: set[str]) -> set[str]:
    named = set(weight_map(folder).values())
    if SINGLE in present and named != {SINGLE}:
        raise InvalidModelFile(
            f"The folder holds two sets of weights: {SINGLE}, and the parts that {INDEX} names.", _KEEP_ONE, INDEX
        )
    if missing := sorted(named - present):
        raise InvalidModelFile(
            f"The index names {len(named)} files, of which {len(missing)} are missing: {_some(missing)}.",
            "Fetch the missing files.",
            INDEX,
        )
    return named


def _unindexed(present: set[str]) -> set[str]:
    if SINGLE in present:
        return {SINGLE}
    shards = sorted(name for name in present if _SHARD.fullmatch(name))
    if shards:
        raise InvalidModelFile(
            f"The folder holds parts of a model ({_some(shards)}) without the index that names all of them.",
            f"Fetch {INDEX} and all parts.",
            shards[0],
        )
    if present:
        raise InvalidModelFile(
            f"The folder holds neither {SINGLE} nor {INDEX}, only: {_some(sorted(present))}.",
            "Name the model's weights so, or save the model into a new folder.",
        )
    raise InvalidModelFile("The folder holds no safetensors file.", SAFE_COPY)


def _is_plain(name: object) -> bool:
    return isinstance(name, str) and name.endswith(".safetensors") and not set(name) & set("/\\\0")


def _check_choice(folder: Path, weights: set[str]) -> None:
    """A configuration may name the file that transformers loads."""
    config = folder / "config.json"
    name = read_json(config).get(_CHOICE) if config.is_file() else None
    expected = INDEX if (folder / INDEX).is_file() else SINGLE
    if name is not None and name != expected and {name} != weights:
        raise InvalidModelFile(
            f"The configuration names {str(name)[:100]!r} as the weights, the folder holds {expected}.",
            f"Remove {_CHOICE} from config.json, or the weights that you do not mean.",
            "config.json",
        )


def _some(names: set[str] | list[str]) -> str:
    shown = sorted(names)
    return ", ".join(shown[:3]) + (f" and {len(shown) - 3} more" if len(shown) > 3 else "")
