"""Direct preference optimisation against the formula of its paper, written out for whole sequences."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from services.lm.chat import encode_example
from services.trainer.domain.spec import PreferenceLoss
from services.trainer.training.examples import BadExampleError
from services.trainer.training.methods import StepResult
from services.trainer.training.methods.dpo import DirectPreferenceOptimization
from services.trainer.training.workers import Workers
from tests.unit.trainer.grpo.bench import context_of, loaded_tiny
from tests.unit.trainer.training_bench import preference_rows

BETA = 0.3


def rows() -> list[dict[str, Any]]:
    return [{**row, "weight": 1.0 + number} for number, row in enumerate(preference_rows(4))]


def method_of(folder: Path, *, moved: bool = True, **spec: Any) -> DirectPreferenceOptimization:
    """A method whose model has moved away from its reference."""
    loaded = loaded_tiny(folder, scale=0.05)
    context = context_of(loaded, rows(), method="dpo", **{"dpo": {"beta": BETA}} | spec)
    method = DirectPreferenceOptimization(context)
    method.prepare()
    if moved:
        source = torch.Generator().manual_seed(9)
        for parameter in trainable(method).values():
            parameter.data.add_(torch.randn(parameter.shape, generator=source) * 0.05)
    return method


def trainable(method: DirectPreferenceOptimization) -> dict[str, torch.nn.Parameter]:
    model = method._context.loaded.model
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def answer_sums(method: DirectPreferenceOptimization) -> tuple[Tensor, Tensor]:
    """The log-probability of each answer, and its tokens: shape (rows, 2), by the model's plain forward."""
    context, sums, sizes = method._context, [], []
    for row in context.rows:
        for answer in (row.messages[-1], row.rejected):
            encoded = encode_example(context.loaded.tokenizer, [*row.messages[:-1], dict(answer or {})])
            ids, (start, end) = torch.tensor([encoded.ids]), encoded.spans[0]
            table = torch.log_softmax(context.loaded.model(input_ids=ids).logits[0].float(), -1)
            sums.append(table[start - 1 : end - 1].gather(1, ids[0, start:end, None]).sum())
            sizes.append(float(end - start))
    return torch.stack(sums).view(-1, 2), torch.tensor(sizes).view(-1, 2)


def mean(result: StepResult, metric: str) -> float:
    total, count = result.means[metric]
    return total / count


@pytest.mark.parametrize(
    "dpo",
    [{}, {"label_smoothing": 0.2}, {"loss_type": PreferenceLoss.SIGMOID_NORM}],
    ids=["sigmoid", "smoothed", "by length"],
)
def test_loss_gradients_and_curves_are_those_of_the_formula(tmp_path: Path, dpo: Mapping[str, Any]) -> None:
    method = method_of(tmp_path, dpo={"beta": BETA} | dict(dpo))
    reference = method.state()["reference"]
    result = method.step(0)
    gradients = {name: parameter.grad.clone() for name, parameter in trainable(method).items()}  # type: ignore[union-attr]
    method._context.loaded.model.zero_grad()

    sums, sizes = answer_sums(method)
    ratios = (sums - reference) / (sizes if dpo.get("loss_type") else 1.0)
    margins = BETA * (ratios[:, 0] - ratios[:, 1])
    weights, wrong = torch.tensor([1.0, 2.0, 3.0, 4.0]), dpo.get("label_smoothing", 0.0)
    losses = -(1 - wrong) * torch.nn.functional.logsigmoid(margins) - wrong * torch.nn.functional.logsigmoid(-margins)
    loss = (weights * losses).sum() / weights.sum()
    loss.backward()
    assert result.loss == pytest.approx(loss.item(), abs=1e-5)
    for name, parameter in trainable(method).items():
        assert parameter.grad is not None and parameter.grad.norm() > 0
        assert (gradients[name] - parameter.grad).norm() <= 1e-4 * parameter.grad.norm(), name
    assert mean(result, "reward_margin") == pytest.approx(margins.mean().item(), abs=1e-4)
    assert mean(result, "reward_accuracy") == pytest.approx((margins > 0).float().mean().item())
    assert mean(result, "chosen_log_prob") == pytest.approx(sums[:, 0].mean().item(), rel=1e-4)
    assert mean(result, "rejected_log_prob") == pytest.approx(sums[:, 1].mean().item(), rel=1e-4)


def test_the_reference_is_the_model_as_it_was_before_the_first_step(tmp_path: Path) -> None:
    method = method_of(tmp_path, moved=False)
    sums, _ = answer_sums(method)
    assert torch.allclose(method.state()["reference"], sums.detach(), rtol=1e-4)
    assert method.step(0).loss == pytest.approx(torch.log(torch.tensor(2.0)).item(), abs=1e-5)


def test_a_step_down_the_gradient_raises_the_answer_above_the_rejected_one(tmp_path: Path) -> None:
    method = method_of(tmp_path, moved=False)
    before, _ = answer_sums(method)
    method.step(0)
    with torch.no_grad():
        for parameter in trainable(method).values():
            assert parameter.grad is not None
            parameter.sub_(0.01 * parameter.grad)
    after, _ = answer_sums(method)
    assert (after[:, 0] - after[:, 1]).sum() > (before[:, 0] - before[:, 1]).sum()


def test_the_shares_of_workers_add_up_to_what_one_computes(tmp_path: Path) -> None:
    whole = method_of(tmp_path).step(0)
    parts = []
    for rank in range(2):
        method = method_of(tmp_path, state={"reference": method_of(tmp_path).state()["reference"]}, start_step=1)
        object.__setattr__(method._context, "workers", Workers(rank, 2))
        parts.append(method.step(0))
    assert sum(part.loss for part in parts) == pytest.approx(whole.loss, abs=1e-6)
    assert sum(part.means["reward_margin"][0] for part in parts) == pytest.approx(
        whole.means["reward_margin"][0], abs=1e-4
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rejected": None}, "no rejected answer"),
        ({"rejected": preference_rows(2)[1]["messages"][-1]}, "is its answer"),
        ({"rejected": {"role": "assistant", "content": "x" * 900}}, r"has \d{4} tokens, the limit is 1000"),
        ({"rejected": {"role": "assistant", "content": ""}}, "an empty answer"),
    ],
)
def test_a_pair_that_cannot_be_compared_is_named_and_never_left_out(
    tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    pairs = preference_rows(3)
    pairs[1] |= change
    context = context_of(loaded_tiny(tmp_path), pairs, method="dpo", max_tokens_per_pack=1000)
    with pytest.raises(BadExampleError, match=f"^Line 2 of the dataset: Example e1 .*{words}"):
        DirectPreferenceOptimization(context)
