"""Group-relative policy optimisation: the model answers, the protocol rewards, and better answers become likelier."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from services.lm.decoder.loss import tempered
from services.lm.training.step import ScoredSequences, StepWork
from services.protocols.suites.dataset_row import DatasetRow
from services.trainer.training.methods import StepResult
from services.trainer.training.methods.context import Context
from services.trainer.training.methods.policy import advantages_of, is_mixed, policy_loss, turn_advantages
from services.trainer.training.rollouts.curves import Curves
from services.trainer.training.rollouts.drawing import DrawnSequence, from_state, to_state
from services.trainer.training.rollouts.player import DrawingSettings, Player, weights_digest
from services.trainer.training.rollouts.probe import check_digest, check_drift, drift_of
from services.trainer.training.rollouts.reference import Reference
from services.trainer.training.rollouts.rollout import RewardWeights, Rollout, samples_of
from services.trainer.training.rollouts.tasks import tasks_of

Groups = Mapping[int, Sequence[Rollout]]
"""The rollouts of each of a worker's prompts, by the prompt's place in the step."""


class GroupRelativePolicy:
    """Trains on the model's own answers to the rows' cases, `num_iterations` steps on each drawing."""

    def __init__(self, context: Context) -> None:
        """Read the cases.

        Raises:
            BadExampleError: A case cannot be asked or judged, none is there, or a reward is unknown; it is named.
        """
        config = self._config = context.spec.grpo
        self._model, self._temperature = context.loaded.model, config.temperature or 1.0
        for module in self._model.modules():
            # The engine has none, and both must compute the same.
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        self._tasks = tasks_of(
            context.rows, context.loaded, max_tokens=context.max_tokens, max_new_tokens=config.max_new_tokens
        )
        self._context = replace(context, rows=tuple(task.row for task in self._tasks))
        if num_left := len(context.rows) - len(self._tasks):
            context.reporter.notice(
                f"{num_left} of {len(context.rows)} rows are not asked: they have no case, or go on with a task that "
                "the simulated client plays from its beginning."
            )
        self._weights = RewardWeights(config.reward_weights, (task.case for task in self._tasks))
        settings = DrawingSettings(
            config.num_generations, self._temperature, config.max_new_tokens, context.max_tokens, context.spec.seed
        )
        self._player = Player(context.loaded, settings, self._weights)
        plays = any(task.prompt_size for task in self._tasks)
        longest = max(len(task.prompt_ids) for task in self._tasks) + config.max_new_tokens
        self._computation = self._context.computation(context.max_tokens if plays else longest)
        self._reference: Reference | None = None
        self._drawing: tuple[DrawnSequence, ...] = ()
        self._num_done = context.start_step

    def num_steps(self) -> int:
        """Return as many as the passes over the tasks take, each drawing counted `num_iterations` times."""
        num_steps = self._context.num_steps()
        return num_steps if self._context.spec.max_steps else num_steps * self._config.num_iterations

    def prepare(self) -> None:
        """Take up the reference, and a drawing that was begun."""
        context = self._context
        if self._config.beta:
            self._reference = Reference(self._model, context.state, is_start=not context.start_step)
        if context.start_step % self._config.num_iterations:
            self._drawing = from_state(context.state)

    def step(self, step: int) -> StepResult:
        """Draw, unless the answers of the last step serve once more, and add the gradients of this worker's share."""
        curves = Curves(self._weights.names)
        with tempered(self._temperature):
            if step % self._config.num_iterations:
                work = self._update(list(self._own_share()), curves)
            else:
                work = self._update_after_drawing(step, curves)
        self._num_done = step + 1
        means = curves.means()
        return StepResult(work.loss, work.num_computed_tokens, means, int(means["answer_tokens"][0]))

    def state(self) -> Mapping[str, Tensor]:
        """Return the reference, and the drawing where further steps train on it."""
        is_due = self._num_done % self._config.num_iterations
        drawing = to_state(self._drawing) if is_due else {}
        return drawing | (self._reference.state() if self._reference else {})

    def rows(self, step: int) -> Sequence[DatasetRow]:
        """Return the rows whose cases the step's answers are to."""
        return [self._tasks[place].row for place in self._context.batch(step // self._config.num_iterations)]

    def _update_after_drawing(self, step: int, curves: Curves) -> StepWork:
        groups = self._draw(step)
        mixed = {key: group for key, group in groups.items() if is_mixed([rollout.reward for rollout in group])}
        curves.add_groups(groups.values(), len(mixed))
        self._model.train()
        drawing = list(self._with_reference(list(self._sequences(mixed))))
        work = self._update(drawing, curves)
        self._drawing = tuple(drawing)
        self._probe(groups, step, curves)
        if self._config.num_iterations > 1:
            self._drawing = tuple(item for part in self._context.workers.gather(self._drawing) for item in part)
        return work

    def _draw(self, step: int) -> Groups:
        """Return the rollouts of this worker's prompts."""
        batch = self._context.batch(step // self._config.num_iterations)
        own = self._context.share(range(len(batch)))
        tasks = {batch[place]: self._tasks[batch[place]] for place in own}
        return dict(zip(own, self._player.draw(tasks, step), strict=True))

    def _sequences(self, groups: Groups) -> Iterator[DrawnSequence]:
        nothing = torch.zeros(0)
        for key, group in groups.items():
            advantages = advantages_of([rollout.reward for rollout in group], scales=self._config.scale_rewards)
            for rollout, advantage in zip(group, advantages, strict=True):
                by_turn = turn_advantages(rollout, advantage, blames=self._config.blame_violations)
                for sample in samples_of(rollout.turns, train_truncated=self._config.train_truncated):
                    of_tokens = torch.tensor([by_turn[turn] for turn in sample.turns])
                    drawn = torch.tensor(sample.log_probs)
                    yield DrawnSequence(key, sample.sequence, of_tokens, drawn, nothing, nothing)

    def _with_reference(self, drawing: Sequence[DrawnSequence]) -> tuple[DrawnSequence, ...]:
        if self._reference is None:
            return tuple(drawing)
        with self._reference.applied():
            scores = self._computation.log_probs([item.sequence for item in drawing])
        self._model.train()
        return tuple(replace(item, reference=values.cpu()) for item, values in zip(drawing, scores, strict=True))

    def _own_share(self) -> tuple[DrawnSequence, ...]:
        batch_size = self._context.spec.batch_size
        own = set(self._context.share(range(batch_size)))
        return tuple(item for item in self._drawing if item.group in own)

    def _update(self, own: list[DrawnSequence], curves: Curves) -> StepWork:
        """Add the gradients; a sequence without the trainer's own log-probabilities gets them on the way."""
        (num_tokens,) = self._context.workers.add_up(sum(item.sequence.num_trained for item in own))

        def loss_of(scored: ScoredSequences) -> Tensor:
            losses = []
            for place, new, entropies in zip(scored.places, scored.log_probs, scored.entropies, strict=True):
                item = own[place]
                if not len(item.old):
                    item = own[place] = replace(item, old=new.detach().cpu())
                    curves.add("engine_drift", *drift_of(item.drawn, item.old))
                result = policy_loss(new, item.known(new.device), self._config)
                losses.append(result.loss / num_tokens)
                curves.add("entropy", float(entropies.sum()), len(new))
                curves.add("clipped_tokens", result.num_clipped, len(new))
                if self._reference:
                    curves.add("kl", result.divergence, len(new))
            return torch.stack(losses).sum()

        work = self._computation.accumulate([item.sequence for item in own], loss_of, entropies=True)
        for weight in self._model.parameters():
            # A step without a mixed group is one with a gradient of 0, whoever computes with whom.
            if weight.requires_grad and weight.grad is None:
                weight.grad = torch.zeros_like(weight)
        return work

    def _probe(self, groups: Groups, step: int, curves: Curves) -> None:
        """Compare engine and trainer on all that was trained, or else on the first rollout; before the weights move.

        Raises:
            EngineDrift: They differ by more than rounding.
        """
        rollouts = [rollout for group in groups.values() for rollout in group]
        if not rollouts:
            return
        check_digest(rollouts[0].weights_digest, weights_digest(self._model), step=step)
        distance, count = curves.means()["engine_drift"]
        if not count:
            sample = samples_of(rollouts[0].turns, train_truncated=True)[0]
            (trained,) = self._computation.log_probs([sample.sequence])
            distance, count = drift_of(torch.tensor(sample.log_probs), trained.cpu())
            curves.add("engine_drift", distance, count)
        check_drift(distance, count, dtype=self._context.dtype, step=step)
