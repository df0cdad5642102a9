"""What a GGUF file is, and where each tensor goes in the folder form; one that is missing or unused is refused."""

import math
import re
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from services.lm.conversion.configuration import configuration_of, dimensions_of
from services.lm.conversion.families.arrangement import Change, rows_together, to_folder
from services.lm.conversion.families.family import HEAD, OTHER_MODEL, Dimensions, Family, Part, Shape
from services.lm.conversion.families.positions import FREQUENCIES, LONG, SHORT
from services.lm.conversion.header import Header, Tensor
from services.lm.conversion.metadata import check_metadata
from services.lm.conversion.parts import read_model
from services.lm.conversion.tensor_types import BF16, F16, F32, NVFP4, type_name
from services.lm.conversion.vocabulary.tokens import chat_templates, check_vocabulary, tokenizer_kind
from services.lm.errors import InvalidModelFile
from services.lm.folders.licence import licence_text

_FETCH_AGAIN: Final = "Fetch the file again."
_HUB: Final = "https://huggingface.co/"
_REPOSITORY: Final = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}", re.ASCII)
_ORIGINALS: Final = ("source.huggingface.repository", "source.repo_url", "source.url", "repo_url")


@dataclass(frozen=True)
class Target:
    """Where a GGUF tensor goes.

    Attributes:
        name: Its new name; with a place for a number where each of its first dimension gets a name of its own.
        shape: The shape that it must have.
        stored: The shape that it gets.
        change: What puts numbers into another order; None for the same.
        unit: So many rows it needs together; 0 for all.
        shift: What GGUF added to each number.
        scale: The tensor of one number that it is multiplied by.
    """

    name: str
    shape: Shape
    stored: Shape
    change: Change | None = None
    unit: int = 0
    shift: int = 0
    scale: Tensor | None = None

    def shapes(self) -> dict[str, Shape]:
        """The shapes of what is stored, one behind the other, by name."""
        if "{}" not in self.name:
            return {self.name: self.stored}
        return {self.name.format(number): self.stored[1:] for number in range(self.stored[0])}


@dataclass(frozen=True)
class Layout:
    """What becomes of the tensors.

    Attributes:
        targets: By GGUF name, in the file's order: where it goes.
        zeros: By new name: the shapes of biases that the file leaves out and the model's class has.
    """

    targets: dict[str, Target] = field(default_factory=dict)
    zeros: dict[str, Shape] = field(default_factory=dict)


def layout_of(header: Header) -> Layout:
    """Where each tensor goes; exactly the tensors of the file, each of the right shape.

    Raises:
        InvalidModelFile: A tensor is missing, unknown, or has another shape than the metadata announces.
    """
    sizes, family = dimensions_of(header), check_metadata(header)
    tensors = {tensor.name: tensor for tensor in header.tensors}
    frame = (*family.frame, HEAD) if HEAD.gguf in tensors else family.frame
    layout = Layout({part.gguf: _target(part, sizes) for part in frame})
    _add_layers(layout, tensors, sizes, family)
    for name, target in layout.targets.items():
        _check_shape(name, target, tensors)
    extras = [name for name in tensors if name not in layout.targets and name not in _tables(family)]
    used = _add_scales(layout, extras, tensors)
    unknown = next((name for name in extras if name not in used), None)
    if unknown is not None:
        raise _unknown(unknown, sizes)
    return Layout({name: layout.targets[name] for name in tensors if name in layout.targets}, layout.zeros)


def _tables(family: Family) -> tuple[str, ...]:
    """Tensors that `config.json` says the same as."""
    return (FREQUENCIES, LONG, SHORT) if family.has_long_factors else (FREQUENCIES,)


def _target(part: Part, sizes: Dimensions, prefix: str = "") -> Target:
    shapes = part.shape(sizes), part.folder_shape(sizes)
    return Target(prefix + part.folder, *shapes, to_folder(part, sizes), rows_together(part, sizes), part.shift)


def _add_layers(layout: Layout, tensors: dict[str, Tensor], sizes: Dimensions, family: Family) -> None:
    layers = range(sizes.layers)
    stored, zeros = list[Part](), list[Part]()
    for group in family.biases:
        present = [part for part in group if any(f"blk.{layer}.{part.gguf}" in tensors for layer in layers)]
        stored += present
        if present or family.always_biased:
            zeros += [part for part in group if part not in present]
    for layer in layers:
        prefix, parts = f"{family.layers}.{layer}.", (*family.parts(sizes, layer), *stored)
        layout.targets.update({f"blk.{layer}.{part.gguf}": _target(part, sizes, prefix) for part in parts})
        targets = [_target(part, sizes, prefix) for part in zeros]
        layout.zeros.update({target.name: target.shape for target in targets})


def _check_shape(name: str, target: Target, tensors: dict[str, Tensor]) -> None:
    if name not in tensors:
        raise InvalidModelFile("The tensor is missing.", _FETCH_AGAIN, f"tensor {name!r}")
    if tensors[name].shape != target.shape:
        raise InvalidModelFile(
            f"Its shape is {tensors[name].shape}, the metadata asks for {target.shape}.",
            _FETCH_AGAIN,
            f"tensor {name!r}",
        )


def _add_scales(layout: Layout, extras: list[str], tensors: dict[str, Tensor]) -> set[str]:
    """Fold tensors of one number into the weights that they multiply; return their names.

    An `input_scale` only says how to round what is multiplied, where a device multiplies in four bits.
    """
    used = set()
    for name in extras:
        stem, _, suffix = name.rpartition(".")
        weight = f"{stem}.weight"
        is_matrix = weight in layout.targets and len(layout.targets[weight].shape) == 2 and stem != "token_embd"
        if suffix not in ("scale", "input_scale") or not is_matrix:
            continue
        scale, target = tensors[name], layout.targets[weight]
        if scale.shape != (1,) or scale.kind != F32 or (stem == "output" and tensors[weight].kind != NVFP4):
            raise InvalidModelFile("It is no scale of a known form.", OTHER_MODEL, f"tensor {name!r}")
        if suffix == "scale":
            layout.targets[weight] = replace(target, scale=scale)
        used.add(name)
    return used


def _unknown(name: str, sizes: Dimensions) -> InvalidModelFile:
    place = f"tensor {name[:80]!r}"
    layer = name.split(".")[1] if name.startswith("blk.") else ""
    if layer.isdecimal() and int(layer) >= sizes.layers:
        return InvalidModelFile(f"Only {sizes.layers} layers are announced.", _FETCH_AGAIN, place)
    if name.endswith("attn_norm_2.weight"):
        return InvalidModelFile("Its layers norm twice, as Falcon 40B's, which are not read.", OTHER_MODEL, place)
    if "_exps" in name or "ffn_gate_inp" in name:
        return InvalidModelFile("The model is a mixture of experts, which is not supported.", OTHER_MODEL, place)
    return InvalidModelFile("The model has a tensor of an unknown purpose.", OTHER_MODEL, place)


def stored_dtype(tensors: Iterable[Tensor]) -> str:
    """The type in which the numbers of a GGUF are stored once they can be trained."""
    kinds = {tensor.kind for tensor in tensors if len(tensor.shape) > 1}
    if kinds == {F32}:
        return "float32"
    return "bfloat16" if kinds <= {BF16, F32} else "float16"


def written_bytes(tensors: Collection[Tensor]) -> int:
    """How many bytes they take then."""
    return sum(tensor.num_elements for tensor in tensors) * (4 if stored_dtype(tensors) == "float32" else 2)


def _original(header: Header) -> str:
    """The repository, as owner/name, that its metadata name as what it was made from; empty for none."""
    names = (str(header.metadata.get(f"general.{key}", "")).removeprefix(_HUB).strip("/") for key in _ORIGINALS)
    return next((name for name in names if _REPOSITORY.fullmatch(name)), "")


def inspect_gguf(path: Path) -> dict[str, Any]:
    """Facts for a person and for the limits of the conversion; only for a file that can be converted.

    Raises:
        InvalidModelFile: The file is damaged, hostile or of a kind that can't be converted.
    """
    header = read_model(path)
    config = configuration_of(header, "")
    layout = layout_of(header)
    check_vocabulary(header)
    templates = chat_templates(header)
    kinds = Counter(tensor.kind for tensor in header.tensors)
    # Of a matrix: norms are float32 in every file.
    commonest = next((kind for kind, _ in kinds.most_common() if kind != F32), F32)
    return {
        "architecture": config["model_type"],
        "name": header.text("general.name"),
        "num_tensors": len(header.tensors),
        "num_parameters": sum(math.prod(target.shape) for target in layout.targets.values())
        + sum(math.prod(shape) for shape in layout.zeros.values()),
        "largest_tensor_elements": max(tensor.num_elements for tensor in header.tensors),
        "files": [file.name for file in header.files],
        "file_bytes": header.file_bytes,
        "written_bytes": written_bytes(header.tensors),
        "quantization": type_name(commonest),
        "max_positions": dimensions_of(header).context,
        "tokenizer": tokenizer_kind(header),
        "chat_template": bool(templates),
        "chat_templates": sorted(templates),
        "license": licence_text(*(header.text(f"general.license{part}") for part in ("", ".name", ".link"))),
        "original": "" if commonest in (F32, F16, BF16) else _original(header),
    }
