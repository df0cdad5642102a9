"""Our side, as a process of its own: `python -m tests.bench.training.ours`.

Reads a `Start` and then does one optimizer step per line, as `trl_peer` does; both answer with the same `Took`.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from services.chassis.wire import from_document
from services.lm.adapters import LoraSettings, add_lora, load_adapter
from services.lm.generation.engine import Engine
from services.lm.generation.requests import GenerationRequest, ResultOptions
from services.lm.loading import LoadedModel, load, prepare_process
from services.lm.training.sequence import TrainedSequence
from services.lm.training.step import LossOf, ScoredSequences, accumulate, log_probs
from services.lm.worker_protocol import Sampling
from services.trainer.domain.spec import TrainingJobSpec
from services.trainer.training.methods.dpo import pair_loss
from services.trainer.training.methods.policy import policy_loss
from services.trainer.training.rollouts.drawing import KnownScores

MAX_GRADIENT_NORM: Final = 1.0


def main() -> None:
    """Train until input ends."""
    start = json.loads(sys.stdin.readline())
    prepare_process(start["threads"])
    loaded = load(Path(start["model"]), dtype=start["dtype"], device=start["device"])
    adapter = start.get("adapter")
    model: Any = (
        load_adapter(loaded.model, Path(adapter), is_trainable=True)
        if adapter
        else add_lora(loaded.model, LoraSettings(), seed=1)
    )
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=start["learning_rate"], weight_decay=0.0)
    step = _METHODS[start["method"]](model, loaded, start)
    for _ in sys.stdin:
        begin = time.perf_counter(), time.process_time()
        model.train()
        more = step()
        norm = torch.nn.utils.clip_grad_norm_(parameters, MAX_GRADIENT_NORM).item()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        took = {"seconds": time.perf_counter() - begin[0], "processor": time.process_time() - begin[1]}
        print(json.dumps({**took, **more, "grad_norm": norm, "peak": _peak_bytes()}), flush=True)


def _peak_bytes() -> int:
    """The most memory that this process has held; what the kernel tells a parent counts what it was before."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


Step = Callable[[], dict[str, float]]


def _sft(model: Any, _: LoadedModel, start: Mapping[str, Any]) -> Step:
    sequences = [TrainedSequence(tuple(row["ids"]), ((row["trained_from"], len(row["ids"])),)) for row in start["rows"]]
    count = sum(sequence.num_trained for sequence in sequences)

    def loss_of(scored: ScoredSequences) -> Tensor:
        return -torch.cat(scored.log_probs).sum() / count

    return lambda: {"loss": _accumulated(model, sequences, loss_of, start)}


def _dpo(model: Any, _: LoadedModel, start: Mapping[str, Any]) -> Step:
    sequences = [
        _completed(row["prompt_ids"], row[answer]) for row in start["rows"] for answer in ("chosen_ids", "rejected_ids")
    ]
    units = [(place, place + 1) for place in range(0, len(sequences), 2)]
    config = from_document(TrainingJobSpec, {}).dpo

    def step() -> dict[str, float]:
        model.eval()
        with model.disable_adapter():
            values = log_probs(model, sequences, max_tokens=start["max_tokens"], shares=start["shares"])
        reference = torch.stack([value.sum() for value in values])
        model.train()

        def loss_of(scored: ScoredSequences) -> Tensor:
            new = dict(zip(scored.places, scored.log_probs, strict=True))
            losses = [
                pair_loss(new[one], new[other], reference[[one, other]], config)[0]
                for one, other in units
                if one in new
            ]
            return torch.stack(losses).sum() / len(units)

        return {"loss": _accumulated(model, sequences, loss_of, start, units=units)}

    return step


def _grpo(model: Any, loaded: LoadedModel, start: Mapping[str, Any]) -> Step:
    rows = start["rows"]
    sequences = [_completed(row["prompt_ids"], row["completion_ids"]) for row in rows]
    count = sum(sequence.num_trained for sequence in sequences)
    advantages = _as_trl(rows, start["num_generations"])
    config = from_document(TrainingJobSpec, {}).grpo
    engine = Engine(replace(loaded, model=model, eos_ids=frozenset({-1})))

    def loss_of(scored: ScoredSequences) -> Tensor:
        losses = []
        for place, values in zip(scored.places, scored.log_probs, strict=True):
            # On policy: the rollouts are this model's own, as far as the arithmetic is concerned.
            old = values.detach()
            known = KnownScores(torch.full_like(old, advantages[place]), old, old)
            losses.append(policy_loss(values, known, config).loss)
        return torch.stack(losses).sum() / count

    def step() -> dict[str, float]:
        begin = time.perf_counter()
        if start["generates"]:
            model.eval()
            _write_rollouts(engine, rows)
            model.train()
        seconds = time.perf_counter() - begin
        loss = _accumulated(model, sequences, loss_of, start, entropies=True)
        return {"loss": loss, "generate_seconds": seconds}

    return step


def _write_rollouts(engine: Engine, rows: list[dict[str, Any]]) -> None:
    requests = [
        GenerationRequest(str(place), tuple(row["prompt_ids"]), len(row["completion_ids"]), seed=place)
        for place, row in enumerate(rows)
    ]
    results = engine.generate(requests, Sampling(temperature=1.0), options=ResultOptions(drawn_log_probs=True))
    if any(len(result.token_ids) != len(rows[int(result.key)]["completion_ids"]) for result in results):
        raise ValueError("A rollout has another length.")


def _as_trl(rows: list[dict[str, Any]], group: int) -> list[float]:
    """The advantages that TRL's defaults give these rewards, so that both sides train on the same."""
    rewards = torch.tensor([row["reward"] for row in rows]).view(-1, group)
    centred = rewards - rewards.mean(1, keepdim=True)
    advantages: list[float] = (centred / (rewards.std(1, keepdim=True) + 1e-4)).flatten().tolist()
    return advantages


def _completed(prompt: list[int], answer: list[int]) -> TrainedSequence:
    return TrainedSequence((*prompt, *answer), ((len(prompt), len(prompt) + len(answer)),))


def _accumulated(
    model: Any,
    sequences: list[TrainedSequence],
    loss_of: LossOf,
    start: Mapping[str, Any],
    **options: Any,
) -> float:
    return accumulate(model, sequences, loss_of, max_tokens=start["max_tokens"], shares=start["shares"], **options).loss


_METHODS: Final = {"sft": _sft, "dpo": _dpo, "grpo": _grpo}

if __name__ == "__main__":
    main()
