"""`python -m tests.bench.conversion [--layers 32] [--number-types BF16,Q8_0]`: memory, speed of merge, export, import.

Writes random weights in the shape of Llama 2 7B (13.5 GB as bfloat16) and a LoRA of rank 16, runs each conversion in a
process of its own, and prints a line of JSON for each: peak of resident memory beside what is promised (1.3 times the
largest tensor as float32, and 300 MB), megabytes of input a second, and how fast the disk takes and gives at that time
(dd, a GB past the cache). All that it writes is deleted afterwards.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from services.lm.conversion.writing.model_folder import write_weights
from services.lm.tiny import write_tiny_model

HIDDEN, FEED, HEADS, VOCABULARY, RANK = 4096, 11008, 32, 32000, 16
LARGEST_BYTES: Final = VOCABULARY * HIDDEN * 4
PROMISED_MB: Final = (1.3 * LARGEST_BYTES) / 1e6 + 300
NUMBERS: Final = (np.random.default_rng(0).standard_normal(1 << 24) * 0.02).astype(np.float32)
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


def disk_rates(folder: Path) -> dict[str, int]:
    """How many megabytes a second the disk takes and gives, by dd."""
    file, rates = folder / "dd", {}
    ways = {
        "write": ("if=/dev/zero", f"of={file}", "oflag=direct", "conv=fsync"),
        "read": (f"if={file}", "of=/dev/null", "iflag=direct"),
    }
    for name, way in ways.items():
        start = time.monotonic()
        subprocess.run(["dd", *way, "bs=8M", "count=128"], check=True, capture_output=True)
        rates[f"disk_{name}_mb_per_second"] = round((1 << 30) / 1e6 / (time.monotonic() - start))
    file.unlink()
    return rates


def measure(name: str, source: Path, *arguments: str | Path) -> None:
    command = [sys.executable, "-m", "services.lm.conversion", *map(str, arguments)]
    start = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        last: dict[str, Any] = json.loads(process.stdout.read().splitlines()[-1])
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - start
    size = sum(file.stat().st_size for file in ([source] if source.is_file() else source.glob("*.safetensors")))
    facts = {
        "conversion": name,
        "ok": last["ok"],
        "problem": last.get("problem", ""),
        "input_gb": round(size / 1e9, 2),
        "seconds": round(seconds, 1),
        "mb_per_second": round(size / 1e6 / seconds, 1),
        "processor_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_mb": round(usage.ru_maxrss * 1024 / 1e6),
        "promised_mb": round(PROMISED_MB),
        "load": os.getloadavg()[0],
    } | disk_rates(source.parent)
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
        measure("merge into BF16", base, "merge", base, adapter, out, "--number-type", "BF16")
        shutil.rmtree(out, ignore_errors=True)
        for number_type in arguments.number_types.split(","):
            shutil.rmtree(out, ignore_errors=True)
            measure(f"export as {number_type}", base, "export-gguf", base, out, "--number-type", number_type)
        file = out / "model.gguf"
        measure("import of the last", file, "gguf", file, Path(workspace) / "back")
        shutil.rmtree(Path(workspace) / "back", ignore_errors=True)
        shutil.rmtree(out, ignore_errors=True)
        merged = ("export-gguf", base, out, "--number-type", "Q8_0", "--adapter", adapter)
        measure("export as Q8_0 with the adapter merged", base, *merged)


if __name__ == "__main__":
    main()
