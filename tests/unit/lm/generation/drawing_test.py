"""Drawing from a model in training: with its present weights, each token with the probability that is told."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from services.lm.adapters import ALL_LINEAR, LoraSettings, add_lora
from services.lm.decoder.loss import tempered
from services.lm.generation.engine import Engine
from services.lm.generation.requests import GenerationRequest, GenerationResult, ResultOptions
from services.lm.generation.sampling import choose
from services.lm.loading import LoadedModel, load
from services.lm.tiny import write_tiny_model
from services.lm.training.sequence import TrainedSequence
from services.lm.training.step import accumulate, log_probs
from services.lm.worker_protocol import Sampling

PROMPT = list(range(5, 95))
DRAWN = ResultOptions(drawn_log_probs=True)


@pytest.fixture
def loaded(tmp_path: Path) -> LoadedModel:
    write_tiny_model(tmp_path / "model", max_positions=300)
    loaded = load(tmp_path / "model", dtype="float32")
    source = torch.Generator().manual_seed(11)
    for parameter in loaded.model.parameters():
        if parameter.dim() > 1:
            parameter.copy_(torch.randn(parameter.shape, generator=source) * 0.1)
    return loaded


def draw(engine: Engine, temperature: float = 1.0) -> list[GenerationResult]:
    requests = [GenerationRequest(str(number), PROMPT, 6, seed=4) for number in range(4)]
    return sorted(engine.generate(requests, Sampling(temperature), options=DRAWN), key=lambda result: result.key)


def sequence_of(result: GenerationResult) -> TrainedSequence:
    ids = (*PROMPT, *result.token_ids)
    return TrainedSequence(ids, ((len(PROMPT), len(ids)),))


def logits_of(model: Any, sequence: TrainedSequence) -> torch.Tensor:
    ids = torch.tensor([sequence.ids])
    (span,) = sequence.spans
    result: torch.Tensor = model(input_ids=ids, use_cache=False).logits[0, span[0] - 1 : span[1] - 1]
    return result


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_tokens_are_told_with_the_probability_they_were_drawn_with(loaded: LoadedModel, temperature: float) -> None:
    for result in draw(Engine(loaded), temperature):
        with torch.no_grad():
            table = torch.log_softmax(logits_of(loaded.model, sequence_of(result)) / temperature, -1)
        expected = table.gather(1, torch.tensor(result.token_ids)[:, None])[:, 0]
        torch.testing.assert_close(torch.tensor(result.scores.log_probs), expected, rtol=0, atol=1e-4)


def test_a_model_that_is_trained_as_a_whole_answers_with_its_present_weights(loaded: LoadedModel) -> None:
    loaded.model.requires_grad_(True)
    engine = Engine(loaded)
    before = draw(engine)
    with torch.no_grad():
        for weight in loaded.model.parameters():
            weight.mul_(1.3)
    after = draw(engine)
    assert [result.scores for result in after] == [result.scores for result in draw(Engine(loaded))]
    assert [result.scores for result in after] != [result.scores for result in before]


def test_unfiltered_tokens_are_drawn_as_often_as_they_are_likely() -> None:
    probabilities = torch.tensor([0.5, 0.25, 0.2, 0.05])
    places = [(number + 0.5) / 1000 for number in range(1000)]
    choices = choose(torch.log(probabilities).expand(1000, 4), Sampling(temperature=1.0), places)
    assert Counter(choices) == {0: 500, 1: 250, 2: 200, 3: 50}
    sharper = choose(torch.log(probabilities).expand(1000, 4), Sampling(temperature=0.5), places)
    assert Counter(sharper)[0] == pytest.approx(1000 * 0.25 / (0.25 + 0.0625 + 0.04 + 0.0025), abs=1)


def test_the_trainer_computes_the_tempered_log_probabilities_and_their_gradients(loaded: LoadedModel) -> None:
    model = add_lora(loaded.model, LoraSettings(r=4, target_modules=ALL_LINEAR), seed=1)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    with torch.no_grad():
        for weight in weights:
            weight.normal_(0, 0.1, generator=torch.Generator().manual_seed(2))
    sequences = [TrainedSequence(tuple(range(5, 35 + number)), ((20, 30 + number),)) for number in range(3)]
    for shares in (True, False):
        with tempered(1.7):
            values = log_probs(model, sequences, max_tokens=512, shares=shares)
            accumulate(
                model, sequences, lambda scored: torch.cat(scored.log_probs).sum(), max_tokens=512, shares=shares
            )
        own = [weight.grad.clone() for weight in weights if weight.grad is not None]
        model.zero_grad()
        expected = [
            torch.log_softmax(logits_of(model, part) / 1.7, -1).gather(
                1, torch.tensor(part.ids[slice(*part.spans[0])])[:, None]
            )[:, 0]
            for part in sequences
        ]
        torch.cat(expected).sum().backward()  # type: ignore[no-untyped-call]
        torch.testing.assert_close(torch.cat(values), torch.cat(expected), rtol=1e-4, atol=1e-5)
        for gradient, weight in zip(own, weights, strict=True):
            torch.testing.assert_close(gradient, weight.grad, rtol=1e-3, atol=1e-4)
        model.zero_grad()
