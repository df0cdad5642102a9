"""A base model and its LoRA adapter made into one folder, block by block of rows where the adapter allows it."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import torch
from gguf import GGMLQuantizationType as Kind
from numpy.typing import NDArray
from safetensors import safe_open
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from services.lm.adapters.updates import NotRowByRow, read_updates
from services.lm.conversion.saving import (
    CONFIG,
    companion_files,
    stored_tensors,
    with_dtype,
    with_tie,
    write_companions,
    write_model,
)
from services.lm.conversion.writing.model_folder import Content, write_weights
from services.lm.conversion.writing.number_types import encode
from services.lm.conversion.writing.pipeline import Progress
from services.lm.conversion.writing.stored_tensors import StoredTensor, tensors_of_folder
from services.lm.errors import AdapterMismatch, InvalidModelFile
from services.lm.folders import check_model_folder
from services.lm.folders.publish import published
from services.lm.loading import BUFFER, load

NUMBER_SIZES: Final = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}


class Change(Protocol):
    """What an adapter makes of a weight's rows."""

    def apply(self, rows: NDArray[np.float32], start: int) -> NDArray[np.float32]:
        """The rows from number `start` on, which may be changed in place."""


@dataclass(frozen=True)
class MergedTensor:
    """One weight of a merged model.

    Attributes:
        name: Its name in the merged folder.
        base: The base's weight.
        change: What the adapter makes of it, in float32; None for nothing.
        dtype: The type that it is stored in, as safetensors names it.
        changed: Gets the name once a number has become another one of that type; shared by all tensors of a merge.
    """

    name: str
    base: StoredTensor
    change: Change | None
    dtype: str
    changed: set[str]

    @property
    def shape(self) -> tuple[int, ...]:
        """Outermost size first."""
        return self.base.shape

    @property
    def num_bytes(self) -> int:
        """Bytes that it takes."""
        return math.prod(self.shape) * NUMBER_SIZES[self.dtype]

    def rows(self, start: int, stop: int) -> NDArray[np.float32]:
        """These rows with the change, float32."""
        rows = self.base.rows(start, stop)
        if self.change is None:
            return rows
        if self.changed:
            return self.change.apply(rows, start)
        merged = self.change.apply(rows.copy(), start)
        if self._stored(merged) != self._stored(rows):
            self.changed.add(self.name)
        return merged

    def content(self, start: int, stop: int) -> bytes | memoryview:
        """These rows with the change, as they are stored.

        Raises:
            InvalidModelFile: A number is infinite, none, or too large for the type.
        """
        if self.change is None and self.dtype == self.base.dtype:
            return self.base.content(start, stop)
        return self._stored(self.rows(start, stop))

    def _stored(self, rows: NDArray[Any]) -> memoryview:
        if self.dtype == "F64":
            return rows.astype(np.float64).data.cast("B")
        return encode(rows, Kind[self.dtype], self.name)


_NOTHING: Final = (
    "The merged weights equal the base's, number for number: the adapter changes nothing.",
    "Choose an adapter that was trained, or merge into F32, which keeps small changes.",
)
_TYPES: Final = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


@dataclass(frozen=True)
class Merge:
    """A base and what an adapter changes of it; its numbers are read when they are asked for.

    Attributes:
        tensors: The merged weights, by name.
        is_untied: The head shared the table of embeddings, and the adapter changes one of the two.
    """

    tensors: dict[str, MergedTensor | StoredTensor]
    is_untied: bool
    changed: set[str]

    def check_changed(self) -> None:
        """Refuse, once all is read, a merge that equals its base.

        Raises:
            AdapterMismatch: No number has become another.
        """
        if not self.changed:
            raise AdapterMismatch(*_NOTHING)


def read_merge(base: Path, adapter: Path, number_type: str = "") -> Merge:
    """The weights of `base` with `adapter` added in float32, stored as `number_type`, or "" for the base's types.

    Raises:
        InvalidModelFile: A folder is damaged or could run code, or the base is quantized.
        AdapterMismatch: The adapter was made for another model.
        NotRowByRow: It can only be merged by `merge_folders`, with the model whole in memory.
    """
    if check_model_folder(base).get("quantization_config"):
        raise InvalidModelFile("The base is quantized.", "Merge into the original weights.", CONFIG)
    stored = tensors_of_folder(base)
    model = _model_without_weights(base)
    table, head = _names_of_ends(model)
    is_tied = bool(head) and model.get_output_embeddings().weight is model.get_input_embeddings().weight
    sources = {head: stored[table]} | stored if is_tied and table in stored else stored
    _check_names(model, sources)
    updates = read_updates(model, adapter, lambda name: _as_tensor(sources.get(name)))
    is_untied = is_tied and bool({table, head} & updates.keys())
    if is_untied and head in stored:
        raise NotRowByRow
    changed: set[str] = set()
    tensors: dict[str, MergedTensor | StoredTensor] = {
        name: MergedTensor(name, source, updates.get(name), number_type or source.dtype, changed)
        if source.is_real
        else source
        for name, source in (sources if is_untied else stored).items()
    }
    return Merge(tensors, is_untied, changed)


def _model_without_weights(base: Path) -> PreTrainedModel:
    try:
        config = AutoConfig.from_pretrained(base, trust_remote_code=False, local_files_only=True)
        with torch.device("meta"):
            model: PreTrainedModel = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    except (ValueError, KeyError, OSError, RuntimeError, TypeError, ImportError, AttributeError) as error:
        # The loading says what is wrong, or knows more than this.
        raise NotRowByRow from error
    return model


def _names_of_ends(model: PreTrainedModel) -> tuple[str, str]:
    """The names of the table of embeddings and of the head; "" for no head."""
    names = {id(module): name for name, module in model.named_modules()}
    head = model.get_output_embeddings()
    return f"{names[id(model.get_input_embeddings())]}.weight", f"{names[id(head)]}.weight" if head is not None else ""


def _check_names(model: PreTrainedModel, stored: Mapping[str, StoredTensor]) -> None:
    """The files hold the weights under the model's names; others, as a mixture's, are known to the loading alone."""
    shapes = {name: tuple(weight.shape) for name, weight in model.state_dict().items()}
    extra = [name for name in stored if name not in shapes and not BUFFER.search(name)]
    if extra or any(name not in stored or stored[name].shape != shape for name, shape in shapes.items()):
        raise NotRowByRow


def _as_tensor(stored: StoredTensor | None) -> Tensor | None:
    return None if stored is None else torch.from_numpy(stored.rows(0, stored.shape[0]))


def merge_folders(
    base: Path, adapter: Path, out: Path, *, number_type: str = "", progress: Progress = lambda done, total: None
) -> dict[str, Any]:
    """Write `base` with `adapter` added into its weights, in float32, to the new folder `out`.

    `number_type` is F32, F16 or BF16, or "" for the base's types. An adapter that changes a mixture's joined
    experts, or began as a part of its base, takes the memory of the whole model; another that of a few rows.

    Raises:
        InvalidModelFile: A folder is damaged or could run code, or the base is quantized.
        AdapterMismatch: The adapter was made for another model, or changes nothing.
        LmError: `out` exists already, or the disk is too small.
    """
    if number_type and number_type not in _TYPES:
        raise InvalidModelFile(
            f"Merged weights cannot be written as {number_type[:40]!r}.", f"Choose one of {', '.join(_TYPES)}."
        )
    try:
        merge = read_merge(base, adapter, number_type)
    except NotRowByRow:
        return _merge_in_memory(base, adapter, out, number_type)
    tensors: dict[str, Content] = dict(merge.tensors)
    with published(out, num_bytes=sum(tensor.num_bytes for tensor in tensors.values())) as folder:
        write_weights(folder, tensors, progress)
        merge.check_changed()
        companions = companion_files(base)
        config = _typed(companions[CONFIG], number_type)
        write_companions(folder, {**companions, CONFIG: with_tie(config, is_tied=False) if merge.is_untied else config})
    return {"num_parameters": sum(math.prod(tensor.shape) for tensor in tensors.values())}


def _typed(config: bytes, number_type: str) -> bytes:
    return with_dtype(config, str(_TYPES[number_type]).removeprefix("torch.")) if number_type else config


def _merge_in_memory(base: Path, adapter: Path, out: Path, number_type: str) -> dict[str, Any]:
    merged = load(base, dtype="float32", adapter=adapter).model
    tensors = _in_stored_form(merged, base)
    if all(torch.equal(tensors[name], tensor) for _, name, tensor in _stored(base) if name in tensors):
        raise AdapterMismatch(*_NOTHING)
    if number_type:
        tensors = {
            name: tensor.to(_TYPES[number_type]) if tensor.is_floating_point() else tensor
            for name, tensor in tensors.items()
        }
    companions = companion_files(base)
    companions[CONFIG] = _typed(companions[CONFIG], number_type)
    with published(out, num_bytes=sum(tensor.nbytes for tensor in tensors.values())) as folder:
        write_model(folder, tensors, merged, companions)
    return {"num_parameters": sum(tensor.numel() for tensor in tensors.values())}


def _in_stored_form(model: PreTrainedModel, base: Path) -> dict[str, Tensor]:
    """The weights under the names and in the types of the base's files: a mixture's experts one by one, say.

    What the files hold and the model has no use for, as layers that guess ahead, stays as it is.
    """
    stored = {name: (file, tensor.dtype) for file, name, tensor in _stored(base)}
    (usual, _), *_ = Counter(dtype for _, dtype in stored.values()).most_common(1)
    state = dict(model.state_dict())
    tensors: dict[str, Tensor] = {
        name: tensor.to(stored[name][1] if name in stored else usual).contiguous()
        for name, tensor in stored_tensors(model).items()
    }
    if sum(name in stored for name in tensors) < len(tensors) - 1:
        # Other names than these files have: what else they hold cannot be told from the same weights.
        return tensors
    unused = {name: file for name, (file, _) in stored.items() if name not in tensors and name not in state}
    for name, file in unused.items():
        with safe_open(file, framework="pt") as content:
            tensors[name] = content.get_tensor(name)
    return tensors


def _stored(base: Path) -> Iterator[tuple[Path, str, Tensor]]:
    for file in sorted(base.glob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118
                yield file, name, tensors.get_tensor(name)
