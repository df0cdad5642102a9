"""Supervised fine-tuning against cross-entropy written out for whole sequences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from services.lm.chat import encode_prompt, encode_text
from services.trainer.training.methods.sft import SupervisedFineTuning
from services.trainer.training.workers import Workers
from tests.unit.trainer.grpo.bench import context_of, loaded_tiny
from tests.unit.trainer.training_bench import dataset_rows

WEIGHTS = (1.0, 2.5, 0.5)


def rows() -> list[dict[str, Any]]:
    weighted = [{**row, "weight": weight} for row, weight in zip(dataset_rows(3), WEIGHTS, strict=True)]
    weighted[1]["messages"] += [{"role": "user", "content": "Thanks"}, {"role": "assistant", "content": "Welcome."}]
    return weighted


def method_of(folder: Path, **context: Any) -> SupervisedFineTuning:
    return SupervisedFineTuning(context_of(loaded_tiny(folder, scale=0.05), rows(), method="sft", **context))


def trainable(method: SupervisedFineTuning) -> dict[str, torch.nn.Parameter]:
    model = method._context.loaded.model
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def answer_log_probs(method: SupervisedFineTuning) -> list[Tensor]:
    """Of each row's answers with the tokens that end them, turn by turn, by the model's plain forward."""
    loaded, values = method._context.loaded, []
    for row in method._context.rows:
        parts = []
        for place, message in enumerate(row.messages):
            if message["role"] == "assistant":
                prompt = encode_prompt(loaded.tokenizer, row.messages[:place])
                answer = torch.tensor(encode_text(loaded.tokenizer, message["content"] + "<|im_end|>"))
                ids = torch.cat([torch.tensor(prompt), answer])
                table = torch.log_softmax(loaded.model(input_ids=ids[None]).logits[0].float(), -1)
                parts.append(table[len(prompt) - 1 : -1].gather(1, answer[:, None])[:, 0])
        values.append(torch.cat(parts))
    return values


def test_loss_and_gradients_are_those_of_weighted_answers_with_their_stop_tokens(tmp_path: Path) -> None:
    method = method_of(tmp_path)
    result = method.step(0)
    gradients = {name: parameter.grad.clone() for name, parameter in trainable(method).items()}  # type: ignore[union-attr]
    method._context.loaded.model.zero_grad()
    values = answer_log_probs(method)
    total = sum(weight * value.sum() for weight, value in zip(WEIGHTS, values, strict=True))
    loss = -total / sum(weight * len(value) for weight, value in zip(WEIGHTS, values, strict=True))
    loss.backward()  # type: ignore[union-attr]
    assert result.loss == pytest.approx(loss.item(), abs=1e-5)  # type: ignore[union-attr]
    for name, parameter in trainable(method).items():
        assert parameter.grad is not None and parameter.grad.norm() > 0
        assert (gradients[name] - parameter.grad).norm() <= 1e-4 * parameter.grad.norm(), name


def test_a_step_down_the_gradient_makes_answers_and_their_ends_likelier(tmp_path: Path) -> None:
    method = method_of(tmp_path)
    before = answer_log_probs(method)
    method.step(0)
    with torch.no_grad():
        for parameter in trainable(method).values():
            assert parameter.grad is not None
            parameter.sub_(0.01 * parameter.grad)
    after = answer_log_probs(method)
    assert sum(value.sum() for value in after) > sum(value.sum() for value in before)
    assert sum(value[-1] for value in after) > sum(value[-1] for value in before)


def test_a_step_is_the_same_in_small_parts_and_on_two_workers(tmp_path: Path) -> None:
    whole = method_of(tmp_path)
    expected = whole.step(0)
    shares = [method_of(tmp_path, workers=Workers(rank, 2), max_tokens_per_pack=400) for rank in range(2)]
    assert sum(method.step(0).loss for method in shares) == pytest.approx(expected.loss, abs=1e-6)
    for name, parameter in trainable(whole).items():
        assert parameter.grad is not None
        total = sum(trainable(method)[name].grad for method in shares)  # type: ignore[misc]
        assert torch.allclose(total, parameter.grad, atol=1e-6), name  # type: ignore[arg-type]
