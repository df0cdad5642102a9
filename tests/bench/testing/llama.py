"""llama.cpp's server: a GGUF of the same weights, and the server as a process."""

from __future__ import annotations

import json
import shlex
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import gguf
import numpy as np
from safetensors.numpy import load_file

from tests.bench.testing.workload import Workload

# Written by the writer itself.
_OWN: Final = ("GGUF.", "general.architecture", "general.file_type", "general.quantization_version")


def write_gguf(model: Path, template: Path, out: Path, kind: str) -> None:
    """The weights of the Llama folder `model` as a GGUF, with `template`'s metadata and tokenizer.

    `kind` is "f16" (all matrices) or "q4_1" (the embedding, which is also the output, Q8_0, as in the template).
    """
    source = gguf.GGUFReader(template)
    writer = gguf.GGUFWriter(out, "llama")
    for name, field in source.fields.items():
        if not name.startswith(_OWN):
            writer.add_key_value(name, field.contents(), field.types[0], sub_type=field.types[-1])
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config["num_hidden_layers"])
    for name, tensor in load_file(_as_float16(model, out.parent)).items():
        target = names.get_name(name, try_suffixes=(".weight",))
        if target is None:
            raise SystemExit(f"{name} has no place in a Llama GGUF.")
        _add(writer, target, _turned(name, tensor, config), kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


class LlamaServer:
    """A running server with a number of slots, each of which holds the workload's shared prompt already."""

    def __init__(self, command: str, model: Path, work: Workload, *, slots: int, threads: int) -> None:
        """Start it, and wait until it answers; one slot reads the shared prompt, the others get its keys and values.

        Raises:
            SystemExit: It does not start within two minutes.
        """
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        context = max(map(len, work.ids)) + work.max_new_tokens + 64
        options = f"--host 127.0.0.1 --port {self._port} -np {slots} -c {slots * context} -t {threads} -tb {threads}"
        places = ["-m", str(model), "--slot-save-path", str(model.parent)]
        arguments = [*shlex.split(command), *places, *options.split(), "--no-webui"]
        self._process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._slots, self._work = slots, work
        deadline = time.monotonic() + 120
        while not self._is_up():
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise SystemExit("llama-server does not start; check LLAMA_SERVER.")
            time.sleep(0.2)
        self._warm()
        self.answers: list[list[int]] = []

    def run(self, counts: Sequence[int]) -> float:
        """Cases per second, as many requests at a time as there are slots; `counts` tokens are written for each."""
        start = time.perf_counter()
        with ThreadPoolExecutor(self._slots) as pool:
            self.answers = list(pool.map(self._complete, self._work.ids, counts))
        return len(self._work.ids) / (time.perf_counter() - start)

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait()

    def _warm(self) -> None:
        self._post("/completion", {"prompt": self._work.shared, "n_predict": 1, "id_slot": 0, "cache_prompt": True})
        self._post("/slots/0?action=save", {"filename": "shared.slot"})
        for slot in range(1, self._slots):
            self._post(f"/slots/{slot}?action=restore", {"filename": "shared.slot"})

    def _complete(self, ids: tuple[int, ...], count: int) -> list[int]:
        body = {
            "prompt": ids,
            "n_predict": count,
            # Rounded weights end their answers elsewhere or never: so each side does the same work.
            "ignore_eos": True,
            "temperature": 0,
            "top_k": 1,
            "cache_prompt": True,
            "return_tokens": True,
        }
        return [int(token) for token in self._post("/completion", body)["tokens"]]

    def _is_up(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        address = f"http://127.0.0.1:{self._port}{path}"
        request = urllib.request.Request(address, json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=3600) as answer:
            result: dict[str, Any] = json.load(answer)
        return result


def server_version(command: str) -> str:
    """What the server calls itself."""
    done = subprocess.run([*shlex.split(command), "--version"], check=False, capture_output=True, text=True)
    return next((line for line in (done.stdout + done.stderr).splitlines() if "version" in line), "unknown")


def _as_float16(model: Path, folder: Path) -> Path:
    """The weights in a type that NumPy knows."""
    from safetensors.torch import load_file as load_torch
    from safetensors.torch import save_file

    path = folder / "float16.safetensors"
    save_file({name: tensor.half() for name, tensor in load_torch(model / "model.safetensors").items()}, path)
    return path


def _turned(name: str, tensor: np.ndarray[Any, Any], config: dict[str, Any]) -> np.ndarray[Any, Any]:
    """Rows of queries and keys in llama.cpp's order: the halves of a head interleaved."""
    heads = {"q_proj": config["num_attention_heads"], "k_proj": config["num_key_value_heads"]}
    count = next((number for part, number in heads.items() if part in name), 0)
    if not count:
        return tensor
    rows = tensor.shape[0] // count
    return tensor.reshape(count, 2, rows // 2, -1).swapaxes(1, 2).reshape(tensor.shape)


def _add(writer: gguf.GGUFWriter, name: str, tensor: np.ndarray[Any, Any], kind: str) -> None:
    if tensor.ndim == 1:
        writer.add_tensor(name, tensor.astype(np.float32))
    elif kind == "f16":
        writer.add_tensor(name, tensor.astype(np.float16))
    else:
        chosen = gguf.GGMLQuantizationType.Q8_0 if name.startswith("token_embd") else gguf.GGMLQuantizationType.Q4_1
        writer.add_tensor(name, gguf.quants.quantize(tensor.astype(np.float32), chosen), raw_dtype=chosen)
