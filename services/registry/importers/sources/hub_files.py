"""Which files of a hub's repository are fetched: one model and what belongs to it, never code."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from services.chassis.errors import InvalidArgument
from services.chassis.wire.names import shown
from services.lm.conversion.parts import part_files
from services.lm.folders.weights import INDEX, SINGLE
from services.registry.importers.folder_inspection import CARD, PROVENANCE, SIDE_FILES

_ADAPTER_SETTINGS = "adapter_config.json"
_ADAPTER = frozenset((_ADAPTER_SETTINGS, "adapter_model.safetensors"))
_WEIGHTS = re.compile(r"model(-(?P<number>\d{5})-of-(?P<count>\d{5}))?\.safetensors")
_TEMPLATE = re.compile(r"additional_chat_templates/[\w.-]{1,100}\.jinja")
_PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".msgpack", ".h5")
_MOST_NAMES = 8


@dataclass(frozen=True)
class HubFile:
    """One file of a repository; the digest is of its content, or as git names it."""

    name: str
    size_bytes: int
    digest: str
    url: str


@dataclass(frozen=True)
class HubChoice:
    """What is fetched.

    Attributes:
        files: All of it.
        model: The GGUF file that stands for the model; empty for a folder.
    """

    files: tuple[HubFile, ...]
    model: str = ""


def choose(files: Collection[HubFile], repository: str, file: str = "") -> HubChoice:
    """Return what to fetch of a repository; `file` names one GGUF of several.

    Raises:
        InvalidArgument: There is no model in a form that can be imported, or several are meant by one name.
    """
    by_name = {each.name: each for each in files}
    if file:
        return _gguf(by_name, repository, file)
    names = set(by_name)
    if names >= _ADAPTER:
        return HubChoice(tuple(by_name[name] for name in sorted(_ADAPTER | ({CARD, PROVENANCE} & names))))
    if any(_WEIGHTS.fullmatch(name) for name in names):
        _check_shards(names, repository)
        taken = {name for name in names if _is_taken(name)}
        return HubChoice(tuple(by_name[name] for name in sorted(taken)))
    return _only_gguf(by_name, repository)


def _is_taken(name: str) -> bool:
    return name in SIDE_FILES or name == CARD or any(kind.fullmatch(name) for kind in (_WEIGHTS, _TEMPLATE))


def _check_shards(names: Collection[str], repository: str) -> None:
    """Raise InvalidArgument where the names alone tell that weights in several files are not all there."""
    numbers: dict[str, set[int]] = defaultdict(set)
    for name in names:
        shard = _WEIGHTS.fullmatch(name)
        if shard and shard["count"]:
            numbers[shard["count"]].add(int(shard["number"]))
    if SINGLE in names or not numbers:
        return
    missing = [] if INDEX in names else [INDEX]
    for count, present in sorted(numbers.items()):
        # Some tools count from 0.
        first = min(1, *present)
        due = range(first, first + int(count))
        missing += [f"model-{number:05}-of-{count}.safetensors" for number in due if number not in present]
    if missing:
        raise InvalidArgument(
            f"{repository} holds its weights in several files, of which some are missing: {_some(missing)}.",
            "Choose another repository, or ask who keeps it for all files.",
            field="source.hub_id",
        )


def _only_gguf(files: Mapping[str, HubFile], repository: str) -> HubChoice:
    models = sorted({_first_part(name) for name in files if name.lower().endswith(".gguf")})
    if len(models) == 1:
        return _gguf(files, repository, models[0])
    if models:
        raise InvalidArgument(
            f"{repository} holds {len(models)} GGUF models: {_some(models)}.",
            f"Name the one that you mean, such as hf:{repository}:{models[0]}.",
            field="source.hub_id",
        )
    pickled = sorted(name for name in files if name.endswith(_PICKLED))
    if pickled:
        raise InvalidArgument(
            f"{repository} holds its weights in a form alone that can run code when it is loaded: {_some(pickled)}.",
            "Look for a copy with safetensors, or convert it where you trust it.",
            field="source.hub_id",
        )
    raise InvalidArgument(
        f"{repository} holds neither safetensors nor a GGUF file.", "Choose another repository.", field="source.hub_id"
    )


def _gguf(files: Mapping[str, HubFile], repository: str, file: str) -> HubChoice:
    parts = [part.as_posix() for part in part_files(Path(file))]
    if not file.lower().endswith(".gguf") or not files.keys() & set(parts):
        models = sorted({_first_part(name) for name in files if name.lower().endswith(".gguf")})
        raise InvalidArgument(
            f"{repository} has no GGUF file {shown(file)}.",
            f"Choose of these: {_some(models)}." if models else "Leave the file out: it has no GGUF file.",
            field="source.hub_id",
        )
    missing = [part for part in parts if part not in files]
    if missing:
        raise InvalidArgument(
            f"{repository} holds {len(parts) - len(missing)} of the {len(parts)} parts of the model; missing: "
            f"{_some(missing)}.",
            "Choose another file, or ask who keeps the repository for all parts.",
            field="source.hub_id",
        )
    card = [CARD] if CARD in files else []
    return HubChoice(tuple(files[name] for name in (*parts, *card)), parts[0])


def _first_part(name: str) -> str:
    return part_files(Path(name))[0].as_posix()


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more
