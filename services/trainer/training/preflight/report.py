"""What a scan of the rows, and the shape of the model, mean for one job's settings."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from services.chassis.machine.memory import total_memory_bytes
from services.lm.folders.json_files import read_json
from services.lm.process import usable_cores
from services.trainer.domain.memory import (
    MemoryEstimate,
    ModelShape,
    checkpoint_bytes,
    estimated_memory,
    is_target,
    result_bytes,
)
from services.trainer.domain.preflight import RowFault, RowsReport, RowToken, RowTokens, SharedPrefix, TokenLengths
from services.trainer.domain.spec import NumberType, TrainedWeights, TrainingJobSpec, TrainingMethod
from services.trainer.training.examples import BadExampleError, num_steps, order_of
from services.trainer.training.preflight.continued import SETTINGS, num_weights, other_settings, raised_rank
from services.trainer.training.preflight.model_shape import scratch_shape, shape_of
from services.trainer.training.preflight.scan import Scan, nothing_sentence, overlap_sentence, sentence_of

_MAX_LISTED, _MAX_LINES = 10, 1000
_MAX_TOKENS, _BEFORE = 4096, 1024
# More batches say nothing new of how much they share.
_MAX_BATCHES = 256
_BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16", "svebf16"})


@dataclass(frozen=True)
class _Device:
    kind: str
    name: str
    dtype: str
    memory_bytes: int


def report_of(
    scan: Scan, spec: TrainingJobSpec, *, base_folder: Path, line: int, dtype: str, adapter_folder: Path | None = None
) -> RowsReport:
    """Return what is known so far.

    Args:
        scan: Of the rows.
        spec: The job's.
        base_folder: The model's files.
        line: The row whose tokens are wanted; 0 for the first of the train split.
        dtype: What the service computes in where the spec leaves it open.
        adapter_folder: The adapter that is trained further, if one is.

    Raises:
        InvalidModelFile: The model's files cannot be read.
    """
    limit = min(spec.max_tokens_per_pack, scan.reader.max_positions) - (
        spec.grpo.max_new_tokens if spec.method is TrainingMethod.GRPO else 0
    )
    faults = scan.faults_by(limit)
    device, shape = _device(spec, dtype), _shape(spec, base_folder, adapter_folder)
    memory = _memory(spec, shape, scan, device)
    unfit = _other_settings(spec, adapter_folder) if adapter_folder else _unknown_modules(spec, shape)
    return RowsReport(
        **_counts(scan, faults, limit),
        refusals=(
            *unfit,
            *_missing_gpu(spec, device),
            *_refusals(scan, spec, [sentence_of(scan, faults, limit)] if faults else []),
        ),
        warnings=tuple(_warnings(scan, memory)),
        shared_prefix=shared_prefix(scan, spec.batch_size, spec.seed) if scan.is_done and scan.sequences else None,
        row=_row_tokens(scan, line),
        memory=memory,
        device=device.name,
        num_steps=_num_steps(scan, spec),
        checkpoint_bytes=checkpoint_bytes(memory.num_trained_weights, memory.num_reference_weights),
        result_bytes=result_bytes(memory.num_trained_weights),
    )


def _shape(spec: TrainingJobSpec, base_folder: Path, adapter_folder: Path | None) -> ModelShape:
    shape = shape_of(base_folder)
    if spec.trained_weights is TrainedWeights.FROM_SCRATCH:
        return scratch_shape(shape, read_json(base_folder / "config.json"), spec.scratch)
    if not adapter_folder:
        return shape
    factor = raised_rank(spec, adapter_folder) / read_json(adapter_folder / SETTINGS).get("r", 1) or 1
    return replace(shape, num_adapter_weights=round(factor * num_weights(adapter_folder)))


def _counts(scan: Scan, faults: Sequence[RowFault], limit: int) -> dict[str, Any]:
    return {
        "num_rows": scan.rows_in_all(),
        "num_checked_rows": scan.num_checked,
        "num_train_rows": scan.num_train,
        "num_validation_rows": scan.num_validation,
        "num_usable_rows": sum(length <= limit for length in scan.lengths.values()),
        "num_faults": len(faults),
        "faults": tuple(faults[:_MAX_LISTED]),
        "fault_lines": tuple(fault.line for fault in faults[_MAX_LISTED:_MAX_LINES]),
        "num_duplicates": len(scan.duplicates),
        "duplicates": tuple(scan.duplicates[:_MAX_LISTED]),
        "num_overlaps": len(scan.overlaps),
        "overlaps": tuple(scan.overlaps[:_MAX_LISTED]),
        "lengths": _lengths(scan, limit),
    }


def shared_prefix(scan: Scan, batch_size: int, seed: int) -> SharedPrefix:
    """Return how much the batches of the first epoch share; of a long one, as its first 256 batches do."""
    rows = scan.sequences
    order = order_of(0, num_examples=len(rows), seed=seed)
    raw, unique, num_rows = 0, 0, min(len(order), _MAX_BATCHES * batch_size)
    for begin in range(0, num_rows, batch_size):
        batch = [ids for place in order[begin : begin + batch_size] for ids in rows[place]]
        raw += sum(map(len, batch))
        unique += num_unique_tokens(batch)
    return SharedPrefix(raw * len(rows) // num_rows, unique * len(rows) // num_rows)


def num_unique_tokens(batch: Sequence[Sequence[int]]) -> int:
    """Return the tokens of a batch's prefix tree: an equal beginning counts once."""
    # By big-endian bytes they stand in the order of their ids, and each shares most with its neighbour.
    ordered = sorted(np.asarray(ids, dtype=">u4").tobytes() for ids in batch)
    arrays = [np.frombuffer(text, dtype=">u4") for text in ordered]
    total = len(arrays[0]) if arrays else 0
    for before, ids in itertools.pairwise(arrays):
        both = min(len(before), len(ids))
        differs = before[:both] != ids[:both]
        total += len(ids) - (int(differs.argmax()) if differs.any() else both)
    return total


def _num_steps(scan: Scan, spec: TrainingJobSpec) -> int:
    if not scan.is_done or not scan.lengths:
        return 0
    if spec.max_steps:
        return spec.max_steps
    # Rows that the method passes over have no length.
    steps = num_steps(len(scan.lengths), batch_size=spec.batch_size, num_epochs=spec.num_epochs)
    return steps * spec.grpo.num_iterations if scan.method is TrainingMethod.GRPO else steps


def _refusals(scan: Scan, spec: TrainingJobSpec, faults: list[str]) -> list[str]:
    refusals = list(faults)
    if scan.is_done and not scan.lengths and not faults:
        refusals.append(nothing_sentence(scan))
    if scan.overlaps and not spec.allow_suite_overlap:
        refusals.append(overlap_sentence(scan))
    return refusals


def _warnings(scan: Scan, memory: MemoryEstimate) -> list[str]:
    warnings = []
    if memory.total_bytes > memory.available_bytes:
        warnings.append(
            f"A worker takes about {memory.total_bytes / 2**30:.1f} GiB of memory, the device has "
            f"{memory.available_bytes / 2**30:.1f}. Lower max_tokens_per_pack, or turn gradient_checkpointing on."
        )
    if scan.duplicates:
        first = scan.duplicates[0]
        warnings.append(
            f"{len(scan.duplicates)} rows repeat others, the first line {first.line} that of line "
            f"{first.first_line}. Leave them out, or give the row a weight."
        )
    return warnings


def _unknown_modules(spec: TrainingJobSpec, shape: ModelShape) -> list[str]:
    if spec.trained_weights is not TrainedWeights.LORA:
        return []
    named = {"target_modules": spec.lora.target_modules}
    for field in ("rank_pattern", "alpha_pattern"):
        named[field] = tuple(entry.partition("=")[0] for entry in getattr(spec.lora, field))
    unknown = [
        f"The model has no linear layer {name}, which lora.{field} names. It has {', '.join(shape.module_names)}."
        for field, names in named.items()
        for name in names
        if not any(is_target(layer, (name,)) for layer in shape.linear_layers)
    ]
    holders = ", ".join(sorted({module.rpartition(".")[2] for module in shape.modules}))
    return unknown + [
        f"The model has no module {name}, which lora.modules_to_save names. It has {holders}."
        for name in spec.lora.modules_to_save
        if not any(is_target(module, (name,)) for module in shape.modules)
    ]


def _missing_gpu(spec: TrainingJobSpec, device: _Device) -> list[str]:
    if not spec.load_in_4bit or device.kind == "cuda":
        return []
    return ["A base in 4 bits is computed on a GPU with CUDA alone, and this machine has none: leave load_in_4bit out."]


def _other_settings(spec: TrainingJobSpec, adapter_folder: Path) -> list[str]:
    sentences = other_settings(spec, adapter_folder)
    return [" ".join(sentences)] if sentences else []


def _lengths(scan: Scan, limit: int) -> TokenLengths | None:
    if not scan.lengths:
        return None
    lengths = np.fromiter(scan.lengths.values(), dtype=np.int64)
    least, median, p95, most = (int(value) for value in np.percentile(lengths, (0, 50, 95, 100), method="higher"))
    return TokenLengths(least, median, p95, most, limit, int((lengths > limit).sum()), scan.num_trained_tokens)


def _row_tokens(scan: Scan, line: int) -> RowTokens | None:
    try:
        row = scan.row(line)
        reading = scan.reader.read(row, scan.method)
    except BadExampleError:
        # It stands among the faults.
        return None
    encoded = reading.sequences[0] if reading else scan.reader.prompt_of(row)
    begin = encoded.spans[0][0] if encoded.spans else 0
    first = min(max(0, begin - _BEFORE), max(0, len(encoded.ids) - _MAX_TOKENS))
    spans = [0] * len(encoded.ids)
    for number, (start, end) in enumerate(encoded.spans, start=1):
        spans[start:end] = [number] * (end - start)
    shown = slice(first, first + _MAX_TOKENS)
    tokens = [
        RowToken(scan.reader.text_of(token), token, span)
        for token, span in zip(encoded.ids[shown], spans[shown], strict=True)
    ]
    return RowTokens(row.line, row.example_id, len(encoded.ids), first, tuple(tokens))


def _memory(spec: TrainingJobSpec, shape: ModelShape, scan: Scan, device: _Device) -> MemoryEstimate:
    longest = max(scan.lengths.values(), default=1)
    batch = math.ceil(spec.batch_size / spec.num_workers) * longest
    num_tokens = max(min(spec.max_tokens_per_pack, batch), min(longest, scan.reader.max_positions))
    dtype = device.dtype if spec.dtype is NumberType.AUTO else str(spec.dtype)
    return estimated_memory(
        spec, shape, dtype=dtype, device=device.kind, num_tokens=num_tokens, available_bytes=device.memory_bytes
    )


def _device(spec: TrainingJobSpec, dtype: str) -> _Device:
    """Return what computes; torch is asked only where there is a GPU, since its import takes seconds."""
    if Path("/dev/nvidiactl").exists():
        import torch

        if torch.cuda.is_available():
            facts = torch.cuda.get_device_properties(0)
            return _Device("cuda", facts.name, "bfloat16", facts.total_memory)
    if dtype == "auto":
        dtype = "bfloat16" if _BFLOAT16_FLAGS & _cpu_flags() else "float32"
    cores = max(1, usable_cores() // spec.num_workers)
    memory = total_memory_bytes() // spec.num_workers
    return _Device("cpu", f"CPU, {cores} core{'s' * (cores > 1)} for each worker", dtype, memory)


def _cpu_flags() -> frozenset[str]:
    for line in Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines():
        if line.lower().startswith(("flags", "features")):
            return frozenset(line.partition(":")[2].split())
    return frozenset()
