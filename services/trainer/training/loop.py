"""The training loop of one worker, flat and in one piece."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from peft import PeftModel

from services.lm.decoder.whole import why_whole
from services.lm.loading import load, prepare_process
from services.lm.training.sequence import TrainedSequence
from services.trainer.domain.attempt import AttemptOutcome
from services.trainer.domain.plan import AttemptPlan
from services.trainer.training.adherence import Validation
from services.trainer.training.checkpoint import Position, read_position, restore_optimizer, save, trained, with_adapter
from services.trainer.training.encoding import encode
from services.trainer.training.examples import batch_of, num_steps, read_dataset, share_of
from services.trainer.training.optimizer import RATE_RATIO, adamw, learning_rate
from services.trainer.training.reporter import Reporter, Silence
from services.trainer.training.sft import backward, num_trained_tokens
from services.trainer.training.workers import Workers

MAX_GRADIENT_NORM = 1.0


class DivergedError(Exception):
    """The loss is not a number any more."""


def train(plan: AttemptPlan, workers: Workers, reporter: Reporter | Silence) -> AttemptOutcome:
    """Train from the plan's checkpoint, or from the start, to the end, and return SUCCEEDED, or STOPPED on request.

    Every worker runs it with the same plan; the first writes the checkpoints.

    Raises:
        BadExampleError: A row cannot be trained on; another attempt would end the same way.
        LmError: The model or adapter cannot be used; likewise.
        DivergedError: The loss is not a number; likewise.
        ServiceAwayError: Nobody takes the reports.
    """
    spec, seed = plan.spec, plan.spec.seed
    reporter.phase("load_model")
    prepare_process(max(1, plan.num_threads // workers.num_workers))
    dataset = read_dataset(Path(plan.dataset_file))
    resumed = Path(plan.resume_from) if plan.resume_from else None
    # An attempt computes as the one before it did, whatever is faster by now.
    position = read_position(resumed) if resumed else Position(0, workers.agreed_dtype(plan.dtype))
    loaded = load(Path(plan.base_folder), dtype=position.dtype)
    model = with_adapter(loaded.model, plan)
    parameters = [parameter for _, parameter in trained(model)]
    optimizer = adamw(model, spec)
    if resumed:
        restore_optimizer(resumed, model, optimizer)

    max_tokens = min(spec.max_tokens_per_pack, loaded.max_positions)
    examples = encode(loaded.tokenizer, dataset.train, eos_ids=loaded.eos_ids, max_tokens=max_tokens)
    shares = _may_share(model, examples, reporter)
    validation = Validation(dataset.validation, loaded, model, workers)
    total = num_steps(len(examples), batch_size=spec.batch_size, num_epochs=spec.num_epochs)
    reporter.step(position.step, total, {})
    reporter.phase("train")

    for step in range(position.step, total):
        started = time.monotonic()
        model.train()
        # Dropout alone draws random numbers; seeding each step makes a resumed job draw the same ones.
        torch.manual_seed(hash((seed, step, workers.rank)) % (1 << 63))
        places = batch_of(step, num_examples=len(examples), batch_size=spec.batch_size, seed=seed)
        own = [examples[place] for place in share_of(places, rank=workers.rank, num_workers=workers.num_workers)]
        step_tokens = num_trained_tokens([examples[place] for place in places])
        limit = spec.max_tokens_per_pack
        part = backward(model, own, num_trained_tokens=step_tokens, max_tokens=limit, shares=shares)
        loss, tokens, stops = workers.add_up(part.loss, part.num_computed_tokens, reporter.stop_requested)
        if not math.isfinite(loss):
            raise DivergedError(f"The loss of step {step + 1} is not a number: lower the learning rate.")
        workers.add_gradients(parameters)
        rate = learning_rate(step, num_steps=total, peak=spec.learning_rate, warmup_ratio=spec.warmup_ratio)
        for group in optimizer.param_groups:
            group["lr"] = rate * group[RATE_RATIO]
        torch.nn.utils.clip_grad_norm_(parameters, MAX_GRADIENT_NORM)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        speed = tokens / (time.monotonic() - started)
        reporter.step(step + 1, total, {"loss": loss, "learning_rate": rate, "tokens_per_second": speed})

        is_last = step + 1 == total
        if workers.rank == 0 and (is_last or stops or (step + 1) % spec.save_steps == 0):
            # The curve up to a checkpoint is stored before it exists: an attempt that goes on from it leaves no gap.
            reporter.flush()
            reporter.checkpoint(save(plan, model, optimizer, replace(position, step=step + 1)))
        if stops:
            return AttemptOutcome.STOPPED
        if spec.eval_steps and not is_last and (step + 1) % spec.eval_steps == 0:
            reporter.phase("adherence")
            reporter.step(step + 1, total, validation.measure())
            reporter.phase("train")

    reporter.phase("adherence")
    reporter.step(total, total, validation.measure())
    return AttemptOutcome.SUCCEEDED


def _may_share(model: PeftModel, examples: Sequence[TrainedSequence], reporter: Reporter | Silence) -> bool:
    """Whether the examples may be computed behind their common prefix; if not, a person is told why."""
    reason = why_whole(model, max(len(example.ids) for example in examples))
    if reason:
        reporter.notice(f"Each example is trained by itself, not behind the prefix that they share: {reason}.")
    return not reason
