"""A GGUF file turned into a folder of safetensors, tensor by tensor, so that memory stays at a few tensors."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from gguf import GGMLQuantizationType
from gguf.quants import dequantize
from numpy.typing import NDArray

from services.lm.conversion.architecture import Target, configuration_of, targets_of
from services.lm.conversion.header import Header, Tensor, read_header
from services.lm.conversion.publish import file_digests, published
from services.lm.conversion.tensor_types import BF16, F16, F32
from services.lm.conversion.tokenizer import build_tokenizer, chat_template_of, special_ids, tokenizer_configuration

Progress = Callable[[int, int], None]
Array = NDArray[Any]

_SAFETENSORS: Final = {"float32": ("F32", 4), "float16": ("F16", 2), "bfloat16": ("BF16", 2)}


def convert_gguf(source: Path, out: Path, progress: Progress = lambda done, total: None) -> dict[str, Any]:
    """Write the model in `source` to the new folder `out`, with tokenizer and chat template; return the files' digests.

    Quantised numbers become float16; a file that is bfloat16 or float32 throughout keeps its type.
    `progress` is called with the numbers done and the total.

    Raises:
        InvalidModelFile: The file is damaged or of a kind that can't be converted; `out` is not created.
        LmError: `out` exists already.
    """
    header = read_header(source)
    targets, dtype = targets_of(header), _stored_dtype(header)
    with published(out) as folder:
        _write_tokenizer(header, folder)
        _write_json(folder / "config.json", configuration_of(header, dtype) | _token_ids(header))
        _write_json(folder / "generation_config.json", _token_ids(header))
        with source.open("rb") as weights, (folder / "model.safetensors").open("wb") as target:
            _write_tensors(header, targets, dtype=dtype, streams=(weights, target), progress=progress)
        files = file_digests(folder)
    return {"files": files, "dtype": dtype, "num_parameters": sum(tensor.num_elements for tensor in header.tensors)}


def _stored_dtype(header: Header) -> str:
    kinds = {tensor.kind for tensor in header.tensors if len(tensor.shape) > 1}
    if kinds == {F32}:
        return "float32"
    return "bfloat16" if kinds <= {BF16, F32} else "float16"


def _token_ids(header: Header) -> dict[str, object]:
    ids = special_ids(header)
    ends = list(dict.fromkeys(ids[name] for name in ("eos", "eot") if name in ids))
    found: dict[str, object] = {f"{name}_token_id": ids[name] for name in ("bos", "pad") if name in ids}
    return found | ({"eos_token_id": ends[0] if len(ends) == 1 else ends} if ends else {})


def _write_tokenizer(header: Header, folder: Path) -> None:
    build_tokenizer(header).save(str(folder / "tokenizer.json"), pretty=False)
    (folder / "tokenizer_config.json").write_text(tokenizer_configuration(header), encoding="utf-8")
    template = chat_template_of(header)
    if template:
        (folder / "chat_template.jinja").write_text(template, encoding="utf-8")


def _write_json(path: Path, content: dict[str, object]) -> None:
    path.write_text(json.dumps(content, indent=2), encoding="utf-8")


def _write_tensors(
    header: Header, targets: dict[str, Target], *, dtype: str, streams: tuple[BinaryIO, BinaryIO], progress: Progress
) -> None:
    """The safetensors form: eight bytes of header length, a JSON header padded to eight bytes, then the numbers."""
    weights, target = streams
    code, size = _SAFETENSORS[dtype]
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for tensor in header.tensors:
        start, end = end, end + tensor.num_elements * size
        name = targets[tensor.name].name
        entries[name] = {"dtype": code, "shape": list(tensor.shape), "data_offsets": [start, end]}
    described = json.dumps(entries, separators=(",", ":")).encode()
    described += b" " * (-len(described) % 8)
    target.write(struct.pack("<Q", len(described)) + described)
    done = 0
    for tensor in header.tensors:
        target.write(_encode(_numbers(weights, tensor, targets[tensor.name]), dtype).data)
        done += tensor.num_elements
        progress(done, end // size)


def _numbers(stream: BinaryIO, tensor: Tensor, target: Target) -> Array:
    stream.seek(tensor.offset)
    raw = np.frombuffer(stream.read(tensor.num_bytes), dtype=np.uint8)
    if tensor.kind in (F32, F16):
        values: Array = raw.view(np.float32 if tensor.kind == F32 else np.float16)
    else:
        values = dequantize(raw.reshape(*tensor.shape[:-1], -1), GGMLQuantizationType(tensor.kind))
    values = values.reshape(tensor.shape)
    if target.rotary_heads:
        halves = values.reshape(target.rotary_heads, values.shape[0] // target.rotary_heads // 2, 2, *values.shape[1:])
        values = halves.swapaxes(1, 2).reshape(tensor.shape)
    return values


def _encode(values: Array, dtype: str) -> Array:
    if dtype != "bfloat16":
        return np.ascontiguousarray(values, dtype=dtype)
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    # Round to nearest even: exact for numbers that were bfloat16 before.
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
