"""Ten traps of reinforcement: each test passes as the trainer is, and fails once its trap is planted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from services.chassis.wire import from_document
from services.lm.generation.engine import Engine
from services.lm.generation.requests import GenerationRequest, GenerationResult
from services.lm.loading import LoadedModel
from services.trainer.domain.spec import TrainingJobSpec
from services.trainer.training.methods import grpo
from services.trainer.training.methods.policy import PolicyLoss, advantages_of, policy_loss, turn_advantages
from services.trainer.training.rollouts import player
from services.trainer.training.rollouts.drawing import DrawnSequence, KnownScores
from services.trainer.training.rollouts.probe import EngineDrift
from services.trainer.training.rollouts.rollout import Rollout, Sample, Turn, samples_of
from tests.unit.trainer.grpo.bench import Training, context_of, loaded_tiny, mean, session_row, text_row

CONFIG = from_document(TrainingJobSpec, {}).grpo
ANYTHING = r"[\s\S]"


def caught(is_planted: bool, error: type[BaseException] = AssertionError) -> AbstractContextManager[Any]:
    """Expect the error exactly where the trap is planted."""
    return pytest.raises(error) if is_planted else nullcontext()


planted = pytest.mark.parametrize("is_planted", [False, True], ids=["as it is", "planted"])


@dataclass
class Drawn:
    """What the engine was asked and what it drew, by the ids of both together."""

    requests: dict[str, GenerationRequest] = field(default_factory=dict)
    results: dict[str, GenerationResult] = field(default_factory=dict)

    def engine(self, loaded: LoadedModel) -> Engine:
        drawn = self

        class Recording(Engine):
            def generate(
                self, requests: Sequence[GenerationRequest], *args: Any, **options: Any
            ) -> Iterator[GenerationResult]:
                drawn.requests |= {request.key: request for request in requests}
                for result in super().generate(requests, *args, **options):
                    drawn.results[result.key] = result
                    yield result

        return Recording(loaded)

    def answers(self) -> dict[tuple[int, ...], tuple[int, ...]]:
        """Return each answer by its prompt and itself."""
        pairs = [(tuple(self.requests[key].prompt_ids), result.token_ids) for key, result in self.results.items()]
        return {prompt + answer: answer for prompt, answer in pairs}


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Drawn:
    record = Drawn()
    monkeypatch.setattr(player, "Engine", record.engine)
    return record


@pytest.fixture
def loaded(tmp_path: Path) -> LoadedModel:
    return loaded_tiny(tmp_path, scale=0.1)


def rows(count: int = 4) -> list[dict[str, Any]]:
    return [text_row(number, pattern="[a-zA-Z]") for number in range(count)]


def trained(training: Training) -> tuple[DrawnSequence, ...]:
    return training.method._drawing


def with_turns(change: Callable[[Turn], Turn]) -> Callable[..., list[Sample]]:
    """Return `samples_of` of turns that were changed."""
    return lambda turns, **options: samples_of([change(turn) for turn in turns], **options)


@planted
def test_1_the_trained_tokens_are_those_that_were_drawn_and_no_text_is_divided_anew(
    is_planted: bool, loaded: LoadedModel, drawn: Drawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    def divided_anew(turn: Turn) -> Turn:
        ids = tuple(loaded.tokenizer.encode(loaded.tokenizer.decode(turn.answer_ids), add_special_tokens=False))
        return replace(turn, answer_ids=ids, log_probs=(turn.log_probs * 9)[: len(ids)])

    if is_planted:
        monkeypatch.setattr(grpo, "samples_of", with_turns(divided_anew))
        monkeypatch.setattr(grpo, "check_drift", lambda *args, **options: None)
    training = Training(context_of(loaded, rows()))
    training.step(0)
    answers = drawn.answers()
    with caught(is_planted):
        assert trained(training)
        for item in trained(training):
            (span,) = item.sequence.spans
            assert item.sequence.ids[slice(*span)] == answers.get(item.sequence.ids)


def test_1_a_prompt_that_does_not_go_on_from_the_turn_before_begins_another_sample() -> None:
    first = Turn((1, 2, 3), (4, 5), (-0.1, -0.2), is_truncated=False, breaks_protocol=False)
    goes_on = replace(first, prompt_ids=(1, 2, 3, 4, 5, 8), answer_ids=(9,), log_probs=(-0.3,))
    divided_anew = replace(goes_on, prompt_ids=(1, 2, 3, 45, 8))
    (whole,) = samples_of([first, goes_on], train_truncated=False)
    assert whole.sequence.ids == (1, 2, 3, 4, 5, 8, 9) and whole.sequence.spans == ((3, 5), (6, 7))
    assert whole.log_probs == (-0.1, -0.2, -0.3) and whole.turns == (0, 0, 1)
    parts = samples_of([first, divided_anew], train_truncated=False)
    assert [part.sequence.ids for part in parts] == [(1, 2, 3, 4, 5), (1, 2, 3, 45, 8, 9)]
    assert [part.sequence.spans for part in parts] == [((3, 5),), ((5, 6),)]


@planted
def test_2_the_loss_stands_on_the_prompt_that_the_engine_read(
    is_planted: bool, loaded: LoadedModel, drawn: Drawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_planted:
        other = with_turns(lambda turn: replace(turn, prompt_ids=(7, *turn.prompt_ids)))
        monkeypatch.setattr(grpo, "samples_of", other)
    training = Training(context_of(loaded, rows()))
    with caught(is_planted, EngineDrift):
        training.step(0)
    with caught(is_planted):
        assert {item.sequence.ids for item in trained(training)} <= drawn.answers().keys()
        assert trained(training)


@planted
def test_3_the_adapter_that_answers_is_the_one_that_is_trained(
    is_planted: bool, loaded: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stale = loaded_tiny(tmp_path, scale=0.1)
    if is_planted:
        monkeypatch.setattr(grpo, "Player", lambda _, settings, weights: player.Player(stale, settings, weights))
    training = Training(context_of(loaded, rows()))
    # The first step's weights are the same; from then on the engine's are old.
    training.step(0)
    with caught(is_planted, EngineDrift):
        training.step(1)


@planted
def test_4_log_probabilities_come_from_the_head_that_is_trained(
    is_planted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = loaded_tiny(tmp_path, scale=0.3, modules=("lm_head", "q_proj"))
    head = loaded.model.get_base_model().lm_head

    class Headless(Engine):
        def generate(self, *args: Any, **options: Any) -> Iterator[GenerationResult]:
            before = head.scaling["default"]
            head.scaling["default"] = 0.0
            try:
                yield from super().generate(*args, **options)
            finally:
                head.scaling["default"] = before

    if is_planted:
        monkeypatch.setattr(player, "Engine", Headless)
    training = Training(context_of(loaded, rows()))
    with caught(is_planted, EngineDrift):
        training.step(0)


def scores(advantages: Sequence[float], *, old: float = -1.0, drawn: float = -1.0) -> KnownScores:
    count = len(advantages)
    return KnownScores(torch.tensor(advantages), torch.full((count,), drawn), torch.full((count,), old))


def slopes(loss_of: Callable[[Tensor, KnownScores], PolicyLoss], known: KnownScores, new: float = -1.0) -> Tensor:
    values = torch.full_like(known.advantages, new, requires_grad=True)
    (gradient,) = torch.autograd.grad(loss_of(values, known).loss, values)
    return gradient


Loss = Callable[[Tensor, KnownScores], PolicyLoss]


def as_it_is(new: Tensor, known: KnownScores) -> PolicyLoss:
    return policy_loss(new, known, CONFIG)


def uncapped(new: Tensor, known: KnownScores) -> PolicyLoss:
    return policy_loss(new, known, replace(CONFIG, max_importance_ratio=float("inf")))


def mean_of_answer(new: Tensor, known: KnownScores) -> PolicyLoss:
    result = policy_loss(new, known, CONFIG)
    return replace(result, loss=result.loss / len(new))


@pytest.mark.parametrize(("loss_of", "is_planted"), [(as_it_is, False), (uncapped, True)])
def test_5_where_engine_and_trainer_part_the_ratio_of_an_answer_is_capped(loss_of: Loss, is_planted: bool) -> None:
    with caught(is_planted):
        torch.testing.assert_close(slopes(loss_of, scores([1.0] * 4, drawn=-2.0)), torch.full((4,), -3.0))
        # A small distance is weighted as it is.
        torch.testing.assert_close(
            slopes(loss_of, scores([1.0] * 4, drawn=-1.1)), torch.full((4,), -float(torch.tensor(0.4).exp()))
        )


def test_5_the_distance_of_engine_and_trainer_is_on_the_curve(loaded: LoadedModel) -> None:
    result = Training(context_of(loaded, rows())).step(0)
    assert 0 <= mean(result, "engine_drift") < 1e-5


@planted
def test_6_a_group_of_equal_rewards_is_in_neither_loss_nor_divergence_nor_denominator(
    is_planted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gradient(tasks: list[dict[str, Any]]) -> tuple[float, Tensor]:
        loaded = loaded_tiny(tmp_path, scale=0.1)
        training = Training(context_of(loaded, tasks, grpo={"beta": 0.5}))
        with torch.no_grad():
            for weight in training.weights:
                weight.mul_(1.5)
        result = training.method.step(0)
        assert mean(result, "mixed_groups") == 1 / len(tasks)
        return result.loss, torch.cat(
            [weight.grad.reshape(-1) for weight in training.weights if weight.grad is not None]
        )

    mixed, equal = text_row(0, pattern="[a-zA-Z]"), text_row(1, pattern=ANYTHING)
    loss, alone = gradient([mixed])
    if is_planted:
        monkeypatch.setattr(grpo, "is_mixed", lambda rewards: True)
    with caught(is_planted):
        other_loss, beside = gradient([mixed, equal])
        assert other_loss == pytest.approx(loss, rel=1e-4)
        torch.testing.assert_close(beside, alone, rtol=1e-3, atol=1e-6)


@planted
def test_7_the_stop_token_that_was_drawn_is_trained(
    is_planted: bool, loaded: LoadedModel, drawn: Drawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = frozenset(range(100, 140))
    if is_planted:
        without = with_turns(
            lambda turn: replace(turn, answer_ids=turn.answer_ids[:-1] or (7,), log_probs=turn.log_probs[:-1] or (0.0,))
        )
        monkeypatch.setattr(grpo, "check_drift", lambda *args, **options: None)
        monkeypatch.setattr(grpo, "samples_of", without)
    context = context_of(replace(loaded, eos_ids=ends), rows(), grpo={"max_new_tokens": 12, "train_truncated": False})
    training = Training(context)
    result = training.step(0)
    # Answers that the limit ended are masked, and all that are left end with the token that stopped them.
    assert 0 < mean(result, "ended_answers") < 1
    with caught(is_planted):
        assert trained(training)
        for item in trained(training):
            assert item.sequence.spans[-1][1] == len(item.sequence.ids) and item.sequence.ids[-1] in ends


@pytest.mark.parametrize("factor", [1.0, 0.0, -1.0], ids=["as it is", "no gradient", "wrong sign"])
def test_8_the_weights_move_with_the_sign_of_the_reward(
    factor: float, loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoilt(rewards: Sequence[float], *, scales: bool) -> list[float]:
        return [factor * advantage for advantage in advantages_of(rewards, scales=scales)]

    monkeypatch.setattr(grpo, "advantages_of", spoilt)
    training = Training(context_of(loaded, rows()), learning_rate=1e-3)
    before = [weight.detach().clone() for weight in training.weights]
    training.step(0)
    sequences = [item.sequence for item in trained(training)]
    after = training.method._computation.log_probs(sequences)
    # The advantages as they should be: those of the answers that conform are above 0.
    gain = sum(
        float((item.advantages / (factor or 1.0) * (new - item.old)).sum())
        for item, new in zip(trained(training), after, strict=True)
    )
    with caught(factor != 1):
        assert gain > 0
        assert any(not torch.equal(*pair) for pair in zip(before, training.weights, strict=True))


@pytest.mark.parametrize(("loss_of", "is_planted"), [(as_it_is, False), (mean_of_answer, True)])
def test_9_a_token_counts_alike_in_short_and_long_answers(loss_of: Loss, is_planted: bool) -> None:
    short, long = slopes(loss_of, scores([0.5] * 2)), slopes(loss_of, scores([0.5] * 20))
    with caught(is_planted):
        torch.testing.assert_close(torch.cat((short, long)), torch.full((22,), -0.5))


@pytest.mark.parametrize(("scales", "is_planted"), [(CONFIG.scale_rewards, False), (True, True)])
def test_9_a_small_difference_of_rewards_stays_small(scales: bool, is_planted: bool) -> None:
    small, large = (advantages_of([0.0, 0.0, 0.0, top], scales=scales) for top in (0.01, 1.0))
    with caught(is_planted):
        assert small == pytest.approx([advantage / 100 for advantage in large])
        # The baseline of an answer is the mean of the others.
        assert large == pytest.approx([-1 / 3, -1 / 3, -1 / 3, 1.0])


def everyone(rollout: Rollout, advantage: float, *, blames: bool) -> list[float]:
    return [advantage] * len(rollout.turns)


@pytest.mark.parametrize(("credit", "is_planted"), [(turn_advantages, False), (everyone, True)])
def test_10_a_violation_is_blamed_on_its_own_turn(credit: Callable[..., list[float]], is_planted: bool) -> None:
    good = Turn((1,), (2,), (-0.1,), is_truncated=False, breaks_protocol=False)
    rollout = Rollout((good, replace(good, breaks_protocol=True), good), {}, 0.0, "", 0)
    with caught(is_planted):
        assert credit(rollout, -0.5, blames=True) == [0.0, -0.5, 0.0]
        assert credit(rollout, 0.5, blames=True) == [0.5, 0.5, 0.5]
        assert credit(rollout, -0.5, blames=False) == [-0.5, -0.5, -0.5]


def with_client(turns: Sequence[Turn], *, train_truncated: bool) -> list[Sample]:
    samples = samples_of(turns, train_truncated=train_truncated)
    spans = [((sample.sequence.spans[0][0], len(sample.sequence.ids)),) for sample in samples]
    return [
        replace(sample, sequence=replace(sample.sequence, spans=span))
        for sample, span in zip(samples, spans, strict=True)
    ]


def test_10_of_a_conversation_the_models_own_tokens_are_trained_and_no_word_of_the_client(
    loaded: LoadedModel, drawn: Drawn
) -> None:
    # Whatever it writes ends its turn, and the client says that it holds no call.
    loaded = replace(loaded, eos_ids=frozenset(range(3, 200)))
    context = context_of(loaded, [session_row()], grpo={"num_generations": 2, "max_new_tokens": 4})
    method = Training(context).method
    (group,) = method._player.draw({0: method._tasks[0]}, 0)
    assert all(turn.breaks_protocol for rollout in group for turn in rollout.turns)
    answers = set(drawn.answers().values())
    for parts_of, is_planted in ((samples_of, False), (with_client, True)):
        samples = [sample.sequence for rollout in group for sample in parts_of(rollout.turns, train_truncated=True)]
        assert any(len(sample.spans) > 1 or is_planted for sample in samples)
        with caught(is_planted):
            assert {sample.ids[slice(*span)] for sample in samples for span in sample.spans} <= answers
