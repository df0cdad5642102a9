"""`python -m tests.bench.lm.conversion [--layers 32] [--number-types BF16,Q8_0]`: memory and speed of it.

Writes random weights in the shape of Llama 2 7B (13.5 GB as bfloat16) and a LoRA of rank 16, runs each conversion in a
process of its own, and prints a line of JSON for each: peak of resident memory beside what is promised (1.3 times the
largest tensor as float32, and 300 MB), megabytes of input a second by the clock and by processor time, and the same
of a plain copy of the input with SHA-256 right after it. All that it writes is deleted afterwards.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from services.lm.conversion.writing.model_folder import write_weights
from services.lm.conversion.writing.pipeline import write_early
from services.lm.tiny import write_tiny_model

HIDDEN, FEED, HEADS, VOCABULARY, RANK = 4096, 11008, 32, 32000, 16
LARGEST_BYTES: Final = VOCABULARY * HIDDEN * 4
PROMISED_MB: Final = (1.3 * LARGEST_BYTES) / 1e6 + 300
NUMBERS: Final = (np.random.default_rng(0).standard_normal(1 << 24) * 0.02).astype(np.float32)
BLOCK: Final = 4 << 20
COPIED: Final = 2 * 10**9
POOL: Final = (NUMBERS.view(np.uint32) >> 16).astype(np.uint16).tobytes()


class RandomTensor:
    """Bfloat16 noise, the same pool over and over."""

    dtype = "BF16"

    def __init__(self, *shape: int) -> None:
        self.shape = shape
        self.num_bytes = int(np.prod(shape)) * 2

    def content(self, start: int, stop: int) -> memoryview:
        """Bytes of these rows."""
        needed = (stop - start) * (self.num_bytes // self.shape[0])
        begin = (start * 7919 * 2) % (len(POOL) // 2)
        return memoryview(POOL)[begin : begin + needed]


def shapes(layers: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield "model.embed_tokens.weight", (VOCABULARY, HIDDEN)
    for layer in range(layers):
        place = f"model.layers.{layer}"
        for name in ("q", "k", "v", "o"):
            yield f"{place}.self_attn.{name}_proj.weight", (HIDDEN, HIDDEN)
        for name, shape in (("gate", (FEED, HIDDEN)), ("up", (FEED, HIDDEN)), ("down", (HIDDEN, FEED))):
            yield f"{place}.mlp.{name}_proj.weight", shape
        yield f"{place}.input_layernorm.weight", (HIDDEN,)
        yield f"{place}.post_attention_layernorm.weight", (HIDDEN,)
    yield "model.norm.weight", (HIDDEN,)
    yield "lm_head.weight", (VOCABULARY, HIDDEN)


def write_base(folder: Path, layers: int) -> None:
    write_tiny_model(folder)
    (folder / "model.safetensors").unlink()
    config = json.loads((folder / "config.json").read_text())
    sizes = {"hidden_size": HIDDEN, "intermediate_size": FEED, "num_hidden_layers": layers, "vocab_size": VOCABULARY}
    sizes |= {"num_attention_heads": HEADS, "num_key_value_heads": HEADS, "head_dim": HIDDEN // HEADS}
    more = {"tie_word_embeddings": False, "dtype": "bfloat16"}
    (folder / "config.json").write_text(json.dumps(config | sizes | more))
    write_weights(folder, {name: RandomTensor(*shape) for name, shape in shapes(layers)}, lambda done, total: None)


def write_adapter(folder: Path, layers: int) -> None:
    folder.mkdir()
    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    settings = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": RANK, "lora_alpha": 32, "target_modules": targets}
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    tensors = {}
    for name, shape in shapes(layers):
        if name.rpartition(".")[0].endswith("_proj"):
            place = f"base_model.model.{name.removesuffix('.weight')}"
            tensors[f"{place}.lora_A.weight"] = RandomTensor(RANK, shape[1])
            tensors[f"{place}.lora_B.weight"] = RandomTensor(shape[0], RANK)
    write_weights(folder, tensors, lambda done, total: None)
    (folder / "model.safetensors").rename(folder / "adapter_model.safetensors")


def copied(source: Path) -> dict[str, float]:
    """What a plain copy of the first 2 GB with SHA-256, on the disk at the end, takes at this time."""
    hasher, used, start = hashlib.sha256(), time.process_time(), time.monotonic()
    target, num_bytes = source.parent / "copy", 0
    with source.open("rb") as reading, target.open("wb") as writing:
        while (block := reading.read(BLOCK)) and num_bytes < COPIED:
            hasher.update(block)
            write_early(writing, block)
            num_bytes += len(block)
        os.fsync(writing.fileno())
    seconds, processor_seconds = time.monotonic() - start, time.process_time() - used
    target.unlink()
    return {
        "copy_mb_per_second": round(num_bytes / 1e6 / seconds),
        "copy_mb_per_processor_second": round(num_bytes / 1e6 / processor_seconds),
    }


def peak_mb(process: subprocess.Popen[bytes], peaks: list[float]) -> None:
    """Note the peak of its resident memory until it ends; `ru_maxrss` would know that of this process before exec."""
    status = Path(f"/proc/{process.pid}/status")
    while (text := status.read_text()) and (line := re.search(r"VmHWM:\s+(\d+)", text)):
        peaks.append(int(line[1]) * 1024 / 1e6)
        time.sleep(0.02)


def measure(name: str, source: Path, *arguments: str | Path) -> None:
    """Convert as the registry does, in a process with limits, and print what it took."""
    limits = f"{1 << 40}:{1 << 20}:{1 << 40}"
    command = [sys.executable, "-m", "services.registry.importers.limits", limits, "services.lm.conversion"]
    start, peaks = time.monotonic(), list[float]()
    with subprocess.Popen([*command, *map(str, arguments)], stdout=subprocess.PIPE) as process:
        watcher = threading.Thread(target=peak_mb, args=(process, peaks))
        watcher.start()
        assert process.stdout is not None
        last: dict[str, Any] = json.loads(process.stdout.read().splitlines()[-1])
        watcher.join()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds, processor_seconds = time.monotonic() - start, usage.ru_utime + usage.ru_stime
    files = [source] if source.is_file() else sorted(source.glob("*.safetensors"))
    size = sum(file.stat().st_size for file in files)
    facts = {
        "conversion": name,
        "ok": last["ok"],
        "problem": last.get("problem", ""),
        "input_gb": round(size / 1e9, 2),
        "output_gb": round(sum(file.stat().st_size for file in Path(arguments[-1]).glob("model*")) / 1e9, 2),
        "seconds": round(seconds, 1),
        "mb_per_second": round(size / 1e6 / seconds, 1),
        "processor_seconds": round(processor_seconds, 1),
        "mb_per_processor_second": round(size / 1e6 / processor_seconds, 1),
        "peak_mb": round(max(peaks)),
        "promised_mb": round(PROMISED_MB),
        "load": os.getloadavg()[0],
    } | copied(files[0])
    print(json.dumps(facts), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument("--number-types", default="BF16,F16,Q4_K_M,Q8_0")
    parser.add_argument("--workspace", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.workspace) as workspace:
        base, adapter, out = (Path(workspace) / name for name in ("base", "adapter", "out"))
        start = time.monotonic()
        write_base(base, arguments.layers)
        write_adapter(adapter, arguments.layers)
        print(json.dumps({"written": True, "seconds": round(time.monotonic() - start, 1)}), flush=True)
        measure("merge into BF16", base, "merge", "--number-type", "BF16", base, adapter, out)
        for number_type in arguments.number_types.split(","):
            shutil.rmtree(out)
            measure(f"export as {number_type}", base, "export-gguf", "--number-type", number_type, base, out)
        file, back = out / "model.gguf", Path(workspace) / "back"
        measure("import of the last", file, "gguf", file, back)
        shutil.rmtree(back)
        shutil.rmtree(out)
        merged = ("export-gguf", "--number-type", "Q8_0", "--adapter", adapter, base, out)
        measure("export as Q8_0 with the adapter merged", base, *merged)


if __name__ == "__main__":
    main()
