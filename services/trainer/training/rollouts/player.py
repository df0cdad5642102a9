"""Draws the rollouts of a step with our own engine, on the model in training, and judges them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from services.lm.generation.engine import Engine
from services.lm.generation.requests import GenerationRequest, GenerationResult, ResultOptions
from services.lm.loading import LoadedModel
from services.lm.worker_protocol import Sampling
from services.protocols.judging.rewards import rewards
from services.protocols.session import Session, judge_session
from services.protocols.turn import FinishReason, TurnOutcome
from services.protocols.verdict import Verdict
from services.trainer.training.rollouts.rollout import RewardWeights, Rollout, Turn
from services.trainer.training.rollouts.tasks import Task, session_prompt


@dataclass(frozen=True)
class DrawingSettings:
    """How rollouts are drawn.

    Attributes:
        num_generations: Rollouts of each task.
        temperature: Above 0.
        max_new_tokens: The limit of each answer.
        max_tokens: The longest conversation that can be trained.
    """

    num_generations: int
    temperature: float
    max_new_tokens: int
    max_tokens: int
    seed: int


class Player:
    """Asks the model in training, answer by answer, until each conversation is over.

    Equal weights, settings, tasks and steps give equal rollouts, bit for bit, on one machine.
    """

    def __init__(self, loaded: LoadedModel, settings: DrawingSettings, weights: RewardWeights) -> None:
        self._loaded, self._settings, self._weights = loaded, settings, weights
        self._engine = Engine(loaded)

    def draw(self, tasks: Mapping[int, Task], step: int) -> list[list[Rollout]]:
        """Return the rollouts of each task, in the order of `tasks`.

        The key of a task, its number and the step fix what is drawn, whatever is drawn beside it.
        """
        self._loaded.model.eval()
        digest = weights_digest(self._loaded.model)
        groups = [
            [
                _Conversation(f"{step}/{key}/{number}", task, self._loaded)
                for number in range(self._settings.num_generations)
            ]
            for key, task in tasks.items()
        ]
        everyone = [conversation for group in groups for conversation in group]
        while waiting := [conversation for conversation in everyone if not conversation.is_over]:
            self._ask(waiting)
        return [[self._rollout(conversation, digest, step) for conversation in group] for group in groups]

    def _ask(self, conversations: list[_Conversation]) -> None:
        """Give each of the conversations its next answer; one whose next prompt is too long ends."""
        settings = self._settings
        asked = {}
        for conversation in conversations:
            request = conversation.request(settings)
            if len(request.prompt_ids) + settings.max_new_tokens > settings.max_tokens:
                conversation.is_over = True
            else:
                asked[request.key] = conversation, request
        results = self._engine.generate(
            [request for _, request in asked.values()],
            Sampling(temperature=settings.temperature),
            options=ResultOptions(drawn_log_probs=True),
        )
        for result in results:
            conversation, request = asked[result.key]
            conversation.take(request, result)

    def _rollout(self, conversation: _Conversation, digest: str, step: int) -> Rollout:
        values = conversation.rewards()
        total = self._weights.total(conversation.task.case, values)
        return Rollout(tuple(conversation.turns), values, total, digest, step)


def weights_digest(model: Any) -> str:
    """Return a digest of the weights that are trained, by name."""
    digest = hashlib.blake2b(digest_size=16)
    for name, weight in sorted(model.named_parameters(), key=lambda pair: str(pair[0])):
        if weight.requires_grad:
            digest.update(name.encode())
            digest.update(weight.detach().cpu().contiguous().view(torch.uint8).numpy())
    return digest.hexdigest()


class _Conversation:
    """The model's answers to one task, and the simulated client's to them."""

    def __init__(self, name: str, task: Task, loaded: LoadedModel) -> None:
        self.task, self._name, self._loaded = task, name, loaded
        self.turns: list[Turn] = []
        self.is_over = False
        self._session = Session(task.profile, task.case, task.prompt_size) if task.prompt_size else None
        self._verdict: Verdict | None = None

    def request(self, settings: DrawingSettings) -> GenerationRequest:
        """Return what is asked next."""
        prompt_ids = self.task.prompt_ids
        if self.turns and self._session:
            prompt_ids = session_prompt(self._session, self._loaded)
        return GenerationRequest(
            f"{self._name}/{len(self.turns)}",
            prompt_ids,
            settings.max_new_tokens,
            seed=settings.seed,
        )

    def take(self, request: GenerationRequest, result: GenerationResult) -> None:
        """Take the answer, and let the client deal with it."""
        reason: FinishReason = "stop" if result.finish_reason == "stop" else "length"
        answer = self.task.profile.read_answer(result.text, reason)
        if self._session:
            self._session.answer(answer)
            self.is_over = self._session.stop is not None
            breaks_protocol = _breaks_protocol(self._session.transcript().turns[-1].outcome)
        else:
            self._verdict = self.task.profile.judge(self.task.case, answer)
            self.is_over = True
            breaks_protocol = not self._verdict.well_formed
        self.turns.append(
            Turn(
                tuple(request.prompt_ids),
                result.token_ids,
                result.scores.log_probs,
                is_truncated=reason == "length",
                breaks_protocol=breaks_protocol,
            )
        )

    def rewards(self) -> dict[str, float]:
        """Return what the protocol's judge gives."""
        task = self.task
        if self._session:
            self._verdict = judge_session(task.profile, task.case, self._session.transcript())
        assert self._verdict
        return rewards(task.case, self._verdict)


def _breaks_protocol(outcome: TurnOutcome) -> bool:
    """Whether the client remarked on the answer, or refused a call of it."""
    return bool(outcome.codes) or any(call.verdict == "failed" for call in outcome.calls)
