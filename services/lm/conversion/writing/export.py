"""A model's folder, or an adapter's, written as one GGUF file."""

import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gguf import GGML_QUANT_SIZES
from gguf import GGMLQuantizationType as Kind

from services.lm.conversion.families import GgufTensor, plan_gguf, rename_lora
from services.lm.conversion.families.contents import unchanged
from services.lm.conversion.writing.gguf_file import Computed, Entry, file_bytes, type_entries, write_gguf
from services.lm.conversion.writing.number_types import NumberType, number_type, tensor_kinds
from services.lm.conversion.writing.pipeline import Progress
from services.lm.conversion.writing.stored_tensors import Rows, Stacked, tensors_of_file, tensors_of_folder
from services.lm.folders.licence import Licence, licence_of
from services.lm.folders.publish import published

MODEL_FILE: Final = "model.gguf"
ADAPTER_FILE: Final = "adapter.gguf"
_WEIGHTS: Final = "adapter_model.safetensors"


def export_gguf(
    folder: Path,
    out: Path,
    number: str,
    *,
    adapter: Path | None = None,
    licence: str = "",
    progress: Progress = lambda done, total: None,
) -> dict[str, Any]:
    """Write the model in `folder`, with `adapter` merged in if one is given, as `model.gguf` in the new folder `out`.

    `number` names how numbers are stored, such as Q4_K_M. `progress` is called with bytes of tensors and their total.

    Raises:
        InvalidModelFile: A folder is damaged, the number type is unknown, or GGUF cannot express the model.
        AdapterMismatch: The adapter was made for another model, or changes nothing.
        LmError: `out` exists already, or the disk is too small.
    """
    wanted = _Wanted(out, number_type(number), licence, progress)
    if adapter is None:
        return _write_model(folder, tensors_of_folder(folder), wanted)
    plan_gguf(folder)
    # These bring torch, which a model without an adapter does without.
    from services.lm.adapters.updates import NotRowByRow
    from services.lm.conversion.merge import merge_folders, read_merge

    try:
        merge = read_merge(folder, adapter, "F32")
        if not merge.is_untied:
            return _write_model(folder, merge.tensors, wanted, check=merge.check_changed)
    except NotRowByRow:
        pass
    # A head of its own is no part of the base's plan.
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", suffix=".merged", dir=out.parent) as workspace:
        merged = Path(workspace) / folder.name
        merge_folders(folder, adapter, merged)
        return _write_model(merged, tensors_of_folder(merged), wanted)


def export_gguf_adapter(
    base: Path, adapter: Path, out: Path, *, licence: str = "", progress: Progress = lambda done, total: None
) -> dict[str, Any]:
    """Write the LoRA in `adapter`, made for the model in `base`, as `adapter.gguf` in the new folder `out`; float32.

    Raises:
        InvalidModelFile: A folder is damaged, or GGUF cannot express the adapter.
        AdapterMismatch: The adapter was made for another model.
        LmError: `out` exists already, or the disk is too small.
    """
    plan, stored = rename_lora(base, adapter), tensors_of_file(adapter / _WEIGHTS)
    entries = [_entry(tensor, stored, Kind.F32) for tensor in plan.tensors]
    metadata = [*plan.metadata, *_licence_entries(licence), *type_entries(0, is_quantised=False)]
    _publish(out, ADAPTER_FILE, metadata, entries, progress)
    return {"notes": plan.notes}


@dataclass(frozen=True)
class _Wanted:
    """The file that is asked for."""

    out: Path
    number: NumberType
    licence: str
    progress: Progress


def _write_model(
    folder: Path, stored: Mapping[str, Rows], wanted: _Wanted, *, check: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    plan, number = plan_gguf(folder), wanted.number
    kinds = tensor_kinds(plan.tensors, number)
    entries = [_entry(tensor, stored, kind) for tensor, kind in zip(plan.tensors, kinds, strict=True)]
    entries += [Entry(name, Kind.F32, Computed(values)) for name, values in plan.extra.items()]
    is_quantised = number.usual not in (Kind.F32, Kind.F16, Kind.BF16)
    types = type_entries(number.file_type, is_quantised=is_quantised)
    metadata = [*plan.metadata, *_licence_entries(wanted.licence), *types]
    _publish(wanted.out, MODEL_FILE, metadata, entries, wanted.progress, check=check)
    return {
        "num_parameters": sum(math.prod(tensor.shape) for tensor in plan.tensors),
        "notes": [*plan.notes, *_substitutes(plan.tensors, kinds, number)],
    }


def _licence_entries(text: str) -> list[tuple[str, object, str]]:
    licence = licence_of(text) or Licence("")
    keys = ("general.license", "general.license.name", "general.license.link")
    return [(key, value, "STRING") for key, value in zip(keys, licence, strict=True) if value]


def _entry(tensor: GgufTensor, stored: Mapping[str, Rows], kind: Kind) -> Entry:
    values = None if tensor.values is unchanged else tensor.values
    if "{}" not in tensor.source:
        return Entry(tensor.name, kind, stored[tensor.source], values, tensor.unit, tensor.shape)
    return Entry(tensor.name, kind, Stacked([stored[tensor.source.format(at)] for at in range(tensor.shape[0])]))


def _publish(
    out: Path,
    name: str,
    metadata: Sequence[tuple[str, object, str]],
    entries: Sequence[Entry],
    progress: Progress,
    *,
    check: Callable[[], None] = lambda: None,
) -> None:
    with published(out, num_bytes=file_bytes(entries)) as folder:
        write_gguf(folder / name, metadata, entries, progress)
        check()


def _substitutes(tensors: Sequence[GgufTensor], kinds: Sequence[Kind], number: NumberType) -> list[str]:
    """What a person should know where rows fill no blocks of the type that was asked for."""
    matrices = [(tensor, kind) for tensor, kind in zip(tensors, kinds, strict=True) if tensor.is_matrix]
    block = GGML_QUANT_SIZES[number.usual][0]
    others = [kind.name for tensor, kind in matrices if tensor.shape[-1] % block]
    if not others:
        return []
    return [
        f"{len(others)} of {len(matrices)} matrices have rows that fill no blocks of {block} numbers and are stored as "
        f"{' and '.join(sorted(set(others)))}."
    ]
