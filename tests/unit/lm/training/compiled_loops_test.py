"""The compiled loops give what torch computes in float32, rounded once, in both kinds of numbers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from services.lm.decoder import kernels
from services.lm.decoder.softmax import Sight, softmax, softmax_backward

_ROWS, _SIZE = 37, 96
_DTYPES = [torch.float32, torch.bfloat16]
# One rounding of the largest of the numbers below.
_CLOSE = {torch.float32: 2e-5, torch.bfloat16: 0.06}


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * 3


def _assert_close(result: Tensor, reference: Tensor) -> None:
    assert torch.allclose(result.float(), reference.float(), atol=_CLOSE[result.dtype], rtol=0.01)


@pytest.mark.parametrize("dtype", _DTYPES)
def test_a_norm_and_its_derivative_are_those_of_torch(dtype: torch.dtype) -> None:
    x, weight = _random(_ROWS, _SIZE).to(dtype), _random(_SIZE, seed=1).to(dtype)
    above = _random(_ROWS, _SIZE + 8, seed=2).to(dtype)[:, :_SIZE]
    leaf = x.float().requires_grad_()
    reference = functional.rms_norm(leaf, (_SIZE,), weight.float(), 1e-5)
    reference.backward(above.float())
    room = torch.zeros(_ROWS, _SIZE + 8, dtype=dtype)
    inverse = kernels.rms_norm(x, weight, 1e-5, room[:, :_SIZE])
    into = torch.ones(_ROWS, _SIZE, dtype=dtype)
    kernels.rms_norm_backward(above, x, weight, inverse, into)
    assert leaf.grad is not None
    _assert_close(room[:, :_SIZE], reference)
    _assert_close(into, 1 + leaf.grad)
    assert not room[:, _SIZE:].any()


@pytest.mark.parametrize("dtype", _DTYPES)
def test_a_gate_and_its_derivative_are_those_of_torch(dtype: torch.dtype) -> None:
    gate_up, above = _random(_ROWS, 2 * _SIZE).to(dtype), _random(_ROWS, _SIZE, seed=1).to(dtype)
    gate_up[0, :4] = torch.tensor([-200.0, -90.0, 90.0, 200.0])
    leaf = gate_up.float().requires_grad_()
    reference = functional.silu(leaf[:, :_SIZE]) * leaf[:, _SIZE:]
    reference.backward(above.float())
    out, product = torch.empty(_ROWS, _SIZE + 8, dtype=dtype)[:, :_SIZE], torch.empty(_ROWS, _SIZE, dtype=dtype)
    kernels.gated(gate_up, out)
    gradient = kernels.gated_backward(above, gate_up, product)
    assert leaf.grad is not None
    _assert_close(out, reference)
    _assert_close(gradient, leaf.grad)
    _assert_close(product, out)


@pytest.mark.parametrize("dtype", _DTYPES)
def test_heads_turn_and_turn_back_and_values_stay(dtype: torch.dtype) -> None:
    rows = _random(_ROWS, 3 * 16).to(dtype)
    angles = _random(_ROWS, 1, 8, seed=1)
    cos, sin = angles.cos().to(dtype), angles.sin().to(dtype)
    first, second = rows.float().view(_ROWS, 3, 2, 8).unbind(2)
    turned = torch.stack((first * cos - second * sin, second * cos + first * sin), 2).view(_ROWS, -1)
    result = rows.clone()
    kernels.rotate(result, 2, cos, sin)
    _assert_close(result[:, :32], turned[:, :32])
    assert torch.equal(result[:, 32:], rows[:, 32:])
    kernels.rotate(result, 2, cos, sin, back=True)
    _assert_close(result, rows)


@pytest.mark.parametrize("dtype", _DTYPES)
@pytest.mark.parametrize(("common", "lengths"), [(0, (7,)), (5, (4, 1, 3)), (33, (20,))])
def test_a_softmax_sees_what_is_common_and_the_own_segment_so_far(
    dtype: torch.dtype, common: int, lengths: tuple[int, ...]
) -> None:
    tokens, group, width, scale = sum(lengths), 2, 64, 0.25
    sight = Sight(common, lengths, group)
    scores, above = _random(3, tokens * group, width).to(dtype), _random(3, tokens * group, width, seed=1).to(dtype)
    segments = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    places = torch.arange(tokens)
    own = (segments[:, None] == segments[None]) & (places[:, None] >= places[None])
    seen = torch.zeros(tokens, width, dtype=torch.bool)
    seen[:, :common], seen[:, common : common + tokens] = True, own
    seen = seen.repeat_interleave(group, 0)
    leaf = scores.float().requires_grad_()
    reference = torch.softmax((leaf * scale).masked_fill(~seen, float("-inf")), -1)
    reference.backward(above.float())
    result = softmax(scores.clone(), sight, scale)
    gradient = softmax_backward(above.clone(), result, sight, scale)
    assert leaf.grad is not None
    _assert_close(result, reference)
    _assert_close(gradient, leaf.grad)
    assert not result[:, ~seen].any()
    assert not gradient[:, ~seen].any()


def test_numbers_that_no_loop_reads_go_through_torch() -> None:
    scores = _random(1, 6, 32)
    sight = Sight(2, (4, 2), 1)
    reference = softmax(scores.clone(), sight, 0.5)
    assert torch.allclose(softmax(scores.double(), sight, 0.5).float(), reference, atol=1e-6)
    above = _random(1, 6, 32, seed=1)
    narrow = softmax_backward(above.clone(), reference, sight, 0.5)
    assert torch.allclose(softmax_backward(above.double(), reference.double(), sight, 0.5).float(), narrow, atol=1e-5)


@pytest.mark.parametrize("dtype", _DTYPES)
def test_what_is_no_number_stays_none(dtype: torch.dtype) -> None:
    x = torch.ones(2, _SIZE, dtype=dtype)
    x[0, 3] = float("nan")
    out = torch.empty_like(x)
    kernels.rms_norm(x, torch.ones(_SIZE, dtype=dtype), 1e-5, out)
    assert out[0].isnan().all()
    assert not out[1].isnan().any()
    probabilities = softmax(torch.full((1, 1, 32), float("nan"), dtype=dtype), Sight(0, (1,), 1), 1.0)
    assert probabilities[0, 0, 0].isnan()
