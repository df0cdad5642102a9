"""Attention part by part is the attention to all, by the processor's own kernel and by plain products."""

from collections.abc import Callable

import pytest
import torch

from services.lm.prefix import attend_by_products, attend_to_part, join_parts

SCALE = 0.3


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(3)


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float32)


@pytest.mark.parametrize("attend", [attend_to_part, attend_by_products])
@pytest.mark.parametrize("split", [1, 40, 89])
def test_joined_parts_are_the_attention_to_all_keys(
    attend: Callable[..., tuple[torch.Tensor, torch.Tensor]], split: int
) -> None:
    query, key, value = drawn(2, 3, 17, 16), drawn(2, 3, 90, 16), drawn(2, 3, 90, 16)
    output, weight = attend(query, key[:, :, :split], value[:, :, :split], SCALE)
    join_parts(output, weight, *attend(query, key[:, :, split:], value[:, :, split:], SCALE))
    scores = query @ key.transpose(-2, -1) * SCALE
    assert torch.allclose(output, scores.softmax(-1) @ value, atol=1e-5)
    assert torch.allclose(weight, scores.logsumexp(-1), atol=1e-5)


@pytest.mark.parametrize("causal", [False, True])
def test_plain_products_give_what_the_kernel_gives(causal: bool) -> None:
    query, key, value = drawn(3, 4, 21, 16), drawn(3, 1, 21, 16), drawn(3, 1, 21, 16)
    keys, values = key.expand(3, 4, 21, 16), value.expand(3, 4, 21, 16)
    mask = None if causal else torch.zeros(3, 1, 21, 21).masked_fill(torch.rand(3, 1, 21, 21) < 0.4, float("-inf"))
    if mask is not None:
        mask[..., 0] = 0.0
    ours = attend_by_products(query, keys, values, SCALE, mask=mask, causal=causal)
    for one, other in zip(ours, attend_to_part(query, keys, values, SCALE, mask=mask, causal=causal), strict=True):
        assert torch.allclose(one, other, atol=1e-5)
