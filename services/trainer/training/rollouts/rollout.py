"""One answer, or the answers of one conversation, as they were drawn; and the sequences that are trained of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from services.lm.training.sequence import TrainedSequence
from services.protocols.cases import Case
from services.protocols.judging.rewards import default_weights
from services.trainer.domain.spec import reward_weights_of
from services.trainer.training.examples import BadExampleError


@dataclass(frozen=True)
class Turn:
    """One answer, token by token.

    Attributes:
        prompt_ids: What the engine was asked with.
        answer_ids: What it drew, the end-of-turn token included where it drew one.
        log_probs: The log-probability with which it drew each.
        is_truncated: The limit ended it.
        breaks_protocol: It is not well-formed, or the client refused what it calls for.
    """

    prompt_ids: tuple[int, ...]
    answer_ids: tuple[int, ...]
    log_probs: tuple[float, ...]
    is_truncated: bool
    breaks_protocol: bool


@dataclass(frozen=True)
class Rollout:
    """What the model did with one task, once.

    Attributes:
        turns: Its answers, in order.
        rewards: What the protocol's judge gives, each 0 to 1.
        reward: Their weighted sum.
        weights_digest: Of the trained weights that the engine drew with.
        step: The optimizer step before which it was drawn.
    """

    turns: tuple[Turn, ...]
    rewards: Mapping[str, float]
    reward: float
    weights_digest: str
    step: int


@dataclass(frozen=True)
class Sample:
    """A trained sequence of a rollout.

    Attributes:
        sequence: The tokens of one or more turns; the drawn ones are trained.
        log_probs: Those of the engine, for each trained token.
        turns: For each trained token, the place of its turn in the rollout.
    """

    sequence: TrainedSequence
    log_probs: tuple[float, ...]
    turns: tuple[int, ...]


def samples_of(turns: Sequence[Turn], *, train_truncated: bool) -> list[Sample]:
    """Return what is trained of a conversation, exactly as it was drawn.

    Turns stay in one sequence as long as each prompt begins with the tokens of the one before and its answer. Where
    the chat template writes them otherwise, or the tokenizer divides the answer otherwise, another sequence begins: no
    token is guessed. Answers that the limit ended are context of what follows, and trained on request alone.
    """
    samples: list[Sample] = []
    spans: list[tuple[int, int]] = []
    log_probs: list[float] = []
    places: list[int] = []
    ids: tuple[int, ...] = ()
    for place, turn in enumerate(turns):
        if ids and turn.prompt_ids[: len(ids)] != ids:
            samples += _sample(ids, spans, log_probs, places)
            spans, log_probs, places = [], [], []
        ids = turn.prompt_ids + turn.answer_ids
        if train_truncated or not turn.is_truncated:
            spans.append((len(turn.prompt_ids), len(ids)))
            log_probs += turn.log_probs
            places += [place] * len(turn.answer_ids)
    return [*samples, *_sample(ids, spans, log_probs, places)]


def _sample(
    ids: tuple[int, ...], spans: Sequence[tuple[int, int]], log_probs: Sequence[float], places: Sequence[int]
) -> list[Sample]:
    if not spans:
        return []
    # What follows the last trained token has no part in the loss.
    return [Sample(TrainedSequence(ids[: spans[-1][1]], tuple(spans)), tuple(log_probs), tuple(places))]


class RewardWeights:
    """How much each reward counts.

    Attributes:
        names: Of all rewards that the cases of the job can give, in alphabetical order.
    """

    def __init__(self, entries: Sequence[str], cases: Iterable[Case]) -> None:
        """`entries` are "component=weight" and stand for all weights; without any, each case has its protocol's own.

        Raises:
            BadExampleError: A component is none that the cases give; the message names those that exist.
        """
        self.names = tuple(sorted({name for case in cases for name in default_weights(case)}))
        self._chosen = reward_weights_of(entries)
        unknown = sorted(self._chosen.keys() - set(self.names))
        if unknown:
            raise BadExampleError(
                f"The dataset's cases give no reward {unknown[0]!r}; in reward_weights use {', '.join(self.names)}."
            )

    def total(self, case: Case, rewards: Mapping[str, float]) -> float:
        """Return the weighted sum; a reward that the answer did not come to counts 0."""
        weights = self._chosen or default_weights(case)
        return sum(weight * rewards.get(name, 0.0) for name, weight in weights.items())
