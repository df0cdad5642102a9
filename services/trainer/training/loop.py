"""The training loop of one worker, for all methods, flat and in one piece."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import torch

from services.lm.loading import prepare_process
from services.lm.process import KeptMemory
from services.protocols.suites.dataset_row import DatasetRow
from services.trainer.domain.attempt import AttemptOutcome, TrainingJobPhase
from services.trainer.domain.plan import AttemptPlan
from services.trainer.domain.spec import NumberType, TrainingJobSpec, TrainingMethod
from services.trainer.training.adherence import Validation
from services.trainer.training.checkpoint import (
    CheckpointWriter,
    Position,
    Saved,
    read_saved,
    restore_optimizer,
    snapshot,
    trained,
)
from services.trainer.training.examples import read_dataset, read_rows
from services.trainer.training.methods import Method, StepResult
from services.trainer.training.methods.context import Context
from services.trainer.training.methods.dpo import DirectPreferenceOptimization
from services.trainer.training.methods.grpo import GroupRelativePolicy
from services.trainer.training.methods.sft import SupervisedFineTuning
from services.trainer.training.methods.validation_loss import ValidationLoss
from services.trainer.training.optimizer import adamw, set_rates
from services.trainer.training.reporter import Reporter, Silence
from services.trainer.training.weights import load_trained
from services.trainer.training.workers import Workers

METHODS: Final[Mapping[TrainingMethod, Callable[[Context], Method]]] = {
    TrainingMethod.SFT: SupervisedFineTuning,
    TrainingMethod.DPO: DirectPreferenceOptimization,
    TrainingMethod.GRPO: GroupRelativePolicy,
}
_MAX_LISTED = 10


class DivergedError(Exception):
    """The loss, or its gradient, is not a number any more."""


def train(plan: AttemptPlan, workers: Workers, reporter: Reporter | Silence) -> AttemptOutcome:
    """Train from the plan's checkpoint, or from the start, to the end, and return SUCCEEDED, or STOPPED on request.

    Every worker runs it with the same plan; the first writes the checkpoints.

    Raises:
        BadExampleError: A row cannot be trained on; another attempt would end the same way.
        LmError: The model or adapter cannot be used; likewise.
        DivergedError: The loss is not a number; likewise.
        ServiceAwayError: Nobody takes the reports.
    """
    with CheckpointWriter(plan, reporter) as writer:
        return _train(plan, workers, reporter, writer)


def _train(
    plan: AttemptPlan, workers: Workers, reporter: Reporter | Silence, writer: CheckpointWriter
) -> AttemptOutcome:
    spec = plan.spec
    reporter.phase(TrainingJobPhase.LOAD_MODEL)
    prepare_process(max(1, plan.num_threads // workers.num_workers))
    dataset = read_dataset(Path(plan.dataset_file))
    # An attempt computes as the one before it did, whatever is faster by now.
    saved = read_saved(plan) or Saved(Position(0, workers.agreed_dtype(_dtype_of(plan))), {})
    position = saved.position
    subject = load_trained(plan, dataset.train, workers, dtype=position.dtype)
    loaded, model = subject.loaded, subject.loaded.model
    parameters = [parameter for _, parameter in trained(model)]
    optimizer = adamw(model, spec)
    restore_optimizer(plan, model, optimizer)

    context = Context(spec, dataset.train, loaded, position.dtype, workers, reporter, position.step, saved.state)
    method = METHODS[spec.method](context)
    others = tuple(read_rows(Path(plan.validation_file))) if plan.validation_file else ()
    validation = Validation((*dataset.validation, *others), loaded, workers)
    validation_loss = ValidationLoss(context, others) if others else None
    validation.refuse_without_cases(needed=spec.load_best_model_at_end or spec.early_stopping_patience > 0)
    scores = list(position.scores)
    total = method.num_steps()
    reporter.step(position.step, total, {})
    method.prepare()

    def measure(step: int) -> None:
        reporter.phase(TrainingJobPhase.ADHERENCE)
        values = validation.measure()
        reporter.step(step, total, values | (validation_loss.measure() if validation_loss else {}))
        scores.extend((step, score) for score in values.values())

    # An attempt that was stopped after a step that is measured has left that to this one.
    if position.step not in (0, *dict(scores)) and _is_measured(position.step, total, spec):
        measure(position.step)
    reporter.phase(TrainingJobPhase.TRAIN)
    ends, memory = _gives_up(scores, spec.early_stopping_patience), KeptMemory()
    for step in range(total if ends else position.step, total):
        started = time.monotonic()
        model.train()
        # Dropout alone draws random numbers; seeding each step makes a resumed job draw the same ones.
        torch.manual_seed(hash((spec.seed, step, workers.rank)) % (1 << 63))
        part = method.step(step)
        counts = (part.num_tokens, part.num_drawn_tokens, reporter.stop_requested)
        loss, tokens, drawn, stops, *sums = workers.add_up(part.loss, *counts, *_flat(part))
        workers.add_gradients(parameters)
        norm = float(torch.nn.utils.clip_grad_norm_(parameters, spec.max_grad_norm))
        _refuse_divergence(step, loss, norm, method.rows)
        rate = set_rates(optimizer, spec, step, num_steps=total)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        memory.step_done()
        curves = {"loss": loss, "gradient_norm": norm, "learning_rate": rate, **_means(part, sums)}
        seconds = time.monotonic() - started
        curves |= {"drawn_tokens": drawn} if drawn else {}
        reporter.step(step + 1, total, curves | {"tokens": tokens, "tokens_per_second": tokens / seconds})

        measures = _is_measured(step + 1, total, spec)
        if measures and not stops:
            measure(step + 1)
        ends = step + 1 == total or _gives_up(scores, spec.early_stopping_patience)
        keeps = ends or stops or (measures and spec.load_best_model_at_end) or (step + 1) % spec.save_steps == 0
        if workers.rank == 0 and keeps:
            after = Position(step + 1, position.dtype, tuple(scores))
            writer.save(partial(snapshot, subject, optimizer, position=after, state=method.state()))
        if stops or ends:
            return AttemptOutcome.STOPPED if stops else AttemptOutcome.SUCCEEDED
        if measures:
            reporter.phase(TrainingJobPhase.TRAIN)
    return AttemptOutcome.SUCCEEDED


def _dtype_of(plan: AttemptPlan) -> str:
    return plan.dtype if plan.spec.dtype is NumberType.AUTO else str(plan.spec.dtype)


def _is_measured(step: int, total: int, spec: TrainingJobSpec) -> bool:
    return step == total or bool(spec.eval_steps and step % spec.eval_steps == 0)


def _gives_up(scores: Sequence[tuple[int, float]], patience: int) -> bool:
    """Whether the last `patience` measurements are no better than one before them."""
    values = [score for _, score in scores]
    return 0 < patience < len(values) and max(values[-patience:]) <= max(values[:-patience])


def _flat(part: StepResult) -> list[float]:
    return [value for pair in part.means.values() for value in pair]


def _means(part: StepResult, sums: Sequence[float]) -> dict[str, float]:
    pairs = zip(part.means, sums[::2], sums[1::2], strict=True)
    return {metric: total / count for metric, total, count in pairs if count}


def _refuse_divergence(step: int, loss: float, norm: float, rows_of: Callable[[int], Sequence[DatasetRow]]) -> None:
    if math.isfinite(loss) and math.isfinite(norm):
        return
    rows = rows_of(step)
    lines = ", ".join(str(row.line) for row in rows[:_MAX_LISTED]) + " …" * (len(rows) > _MAX_LISTED)
    raise DivergedError(
        f"The {'gradient' if math.isfinite(loss) else 'loss'} of step {step + 1} is not a number: lower the learning "
        f"rate, or look at its rows (lines {lines} of the dataset). The last checkpoint is from before it."
    )
