"""A GGUF model turned into a folder of safetensors, a few rows at a time, so that memory stays small."""

import json
import math
import struct
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from gguf import GGMLQuantizationType
from gguf.quants import dequantize
from numpy.typing import NDArray

from services.lm.conversion.configuration import configuration_of
from services.lm.conversion.families.family import Shape
from services.lm.conversion.header import Header, Tensor
from services.lm.conversion.layout import Layout, Target, layout_of, stored_dtype
from services.lm.conversion.parts import read_model
from services.lm.conversion.tensor_types import F16, F32
from services.lm.conversion.vocabulary.tokenizer import build_tokenizer, tokenizer_configuration
from services.lm.conversion.vocabulary.tokens import check_vocabulary, end_ids, special_ids, write_chat_templates
from services.lm.conversion.writing.number_types import to_bfloat16
from services.lm.conversion.writing.pipeline import Progress, in_order, read_ahead, row_blocks, write_early
from services.lm.errors import InvalidModelFile
from services.lm.folders.publish import published

_Block = tuple[Tensor, int, int]
Array = NDArray[Any]

_SAFETENSORS: Final = {"float32": ("F32", 4), "float16": ("F16", 2), "bfloat16": ("BF16", 2)}


def convert_gguf(source: Path, out: Path, progress: Progress = lambda done, total: None) -> dict[str, Any]:
    """Write the model in `source` to the new folder `out`, with its tokenizer and templates.

    Where `source` is a part of a model that is split, the other parts beside it are taken too.
    Quantised numbers become float16; a file that is bfloat16 or float32 throughout keeps its type.
    `progress` is called with the numbers done and the total.

    Raises:
        InvalidModelFile: The file is damaged or of a kind that can't be converted; `out` is not created.
        LmError: `out` exists already.
    """
    header = read_model(source)
    check_vocabulary(header)
    layout, dtype = layout_of(header), stored_dtype(header.tensors)
    with published(out) as folder:
        build_tokenizer(header).save(str(folder / "tokenizer.json"), pretty=False)
        (folder / "tokenizer_config.json").write_text(tokenizer_configuration(header), encoding="utf-8")
        write_chat_templates(header, folder)
        _write_json(folder / "config.json", configuration_of(header, dtype) | _token_ids(header))
        _write_json(folder / "generation_config.json", _token_ids(header))
        with (folder / "model.safetensors").open("wb") as target:
            count = _write_tensors(header, layout, dtype, target, progress)
    return {"dtype": dtype, "num_parameters": count}


def _token_ids(header: Header) -> dict[str, object]:
    ids, ends = special_ids(header), end_ids(header)
    named: dict[str, object] = {f"{name}_token_id": ids[name] for name in ("bos", "pad") if name in ids}
    return named | {"eos_token_id": ends[0] if len(ends) == 1 else ends}


def _write_json(path: Path, content: dict[str, object]) -> None:
    path.write_text(json.dumps(content, indent=2), encoding="utf-8")


def _write_tensors(header: Header, layout: Layout, dtype: str, out: BinaryIO, progress: Progress) -> int:
    """The safetensors form: eight bytes of header length, a JSON header padded to eight bytes, then the numbers."""
    code, size = _SAFETENSORS[dtype]
    tensors = [tensor for tensor in header.tensors if tensor.name in layout.targets]
    shapes: dict[str, Shape] = {}
    for tensor in tensors:
        shapes |= layout.targets[tensor.name].shapes()
    shapes |= layout.zeros
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in shapes.items():
        start, end = end, end + math.prod(shape) * size
        entries[name] = {"dtype": code, "shape": list(shape), "data_offsets": [start, end]}
    described = json.dumps(entries, separators=(",", ":")).encode()
    described += b" " * (-len(described) % 8)
    out.write(struct.pack("<Q", len(described)) + described)
    done = 0
    for _, content in in_order(partial(_content, layout, dtype), _blocks(tensors, layout)):
        write_early(out, content)
        done += len(content)
        progress(done // size, end // size)
    for shape in layout.zeros.values():
        out.write(bytes(math.prod(shape) * size))
    progress(end // size, end // size)
    return end // size


def _blocks(tensors: list[Tensor], layout: Layout) -> Iterator[_Block]:
    for tensor in tensors:
        target = layout.targets[tensor.name]
        for start, stop in row_blocks(tensor.shape, target.unit or tensor.shape[0]):
            yield tensor, start, stop


def _content(layout: Layout, dtype: str, block: _Block) -> memoryview:
    tensor = block[0]
    return _encode(_numbers(block, layout.targets[tensor.name]), dtype, tensor).data.cast("B")


def _numbers(block: _Block, target: Target) -> Array:
    tensor, start, stop = block
    raw, shape = _stored(tensor, start, stop), (stop - start, *tensor.shape[1:])
    if tensor.kind in (F32, F16):
        values: Array = raw.view(np.float32 if tensor.kind == F32 else np.float16)
    else:
        values = dequantize(raw.reshape(*shape[:-1], -1), GGMLQuantizationType(tensor.kind))
    values = values.reshape(shape)
    if target.scale:
        values = values * _stored(target.scale, 0, target.scale.shape[0]).view(np.float32)
    if target.change:
        values = target.change(values)
    return values - np.float32(target.shift) if target.shift else values


def _stored(tensor: Tensor, start: int, stop: int) -> Array:
    # A row of one number may take a part of a byte.
    begin, end = (row * tensor.num_bytes // tensor.shape[0] for row in (start, stop))
    with tensor.file.open("rb") as stream:
        read_ahead(stream, tensor.offset + end)
        stream.seek(tensor.offset + begin)
        return np.frombuffer(stream.read(end - begin), dtype=np.uint8)


def _encode(values: Array, dtype: str, tensor: Tensor) -> Array:
    with np.errstate(over="ignore"):
        encoded = np.ascontiguousarray(values, dtype="float32" if dtype == "bfloat16" else dtype)
    _check_finite(encoded, tensor)
    return to_bfloat16(encoded) if dtype == "bfloat16" else encoded


def _check_finite(values: Array, tensor: Tensor) -> None:
    # A sum is not finite where an item is not, and needs no second array.
    if not np.isfinite(values.sum(dtype=np.float64)):
        raise InvalidModelFile(
            f"It holds numbers that are infinite, none, or too large for {values.dtype}.",
            "Choose a file with another quantisation, or in bfloat16.",
            f"tensor {tensor.name[:80]!r}",
        )
