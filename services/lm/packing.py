"""Examples packed behind their common prefix, and the training loss of such a pack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from inspect import signature
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor

from services.lm.chat import EncodedExample
from services.lm.decoder.model import lean
from services.lm.decoder.whole import computed_whole
from services.lm.errors import LimitExceeded
from services.lm.prefix import Layout, attending, attending_to


@dataclass(frozen=True)
class SharedPrefixBatch:
    """`[prefix][example 1][example 2]…` in one sequence.

    Attributes:
        input_ids: Shape (1, length).
        position_ids: Shape (1, length); they restart after the prefix for each example.
        layout: Where the prefix ends and each example lies.
        predicting: Positions whose next token is trained, shape (trained,).
        labels: Those next tokens, shape (trained,).
    """

    input_ids: Tensor
    position_ids: Tensor
    layout: Layout
    predicting: Tensor
    labels: Tensor

    @property
    def num_tokens(self) -> int:
        """Tokens computed, the prefix once."""
        return self.input_ids.shape[1]

    @property
    def num_trained_tokens(self) -> int:
        """Tokens that the loss is a mean over."""
        return self.labels.shape[0]

    @property
    def num_examples(self) -> int:
        """Examples in the pack."""
        return len(self.layout.parts)


def common_prefix_length(examples: Sequence[EncodedExample]) -> int:
    """Tokens that all examples begin with, at most so many that each keeps its last prompt token to itself."""
    first, last = min(example.ids for example in examples), max(example.ids for example in examples)
    shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False)))
    return min(shared, min(example.trained_from for example in examples) - 1)


def pack(examples: Sequence[EncodedExample], *, max_tokens: int) -> list[SharedPrefixBatch]:
    """The examples, in order, in as few packs of at most `max_tokens` as that order allows.

    Memory in training grows with `max_tokens`; time grows with the number of packs, since each computes the prefix.

    Raises:
        LimitExceeded: One example alone is longer than `max_tokens`.
    """
    if not examples:
        return []
    prefix = common_prefix_length(examples)
    packs: list[list[EncodedExample]] = [[]]
    used = prefix
    for index, example in enumerate(examples):
        own = len(example.ids) - prefix
        if prefix + own > max_tokens:
            raise LimitExceeded(
                f"An example has {len(example.ids)} tokens, the limit is {max_tokens}.",
                "Drop it or allow more tokens per pack.",
                f"example {index}",
            )
        if used + own > max_tokens:
            packs.append([])
            used = prefix
        packs[-1].append(example)
        used += own
    return [join(members, prefix_length=prefix) for members in packs]


def join(examples: Sequence[EncodedExample], *, prefix_length: int) -> SharedPrefixBatch:
    """One pack of all the examples, whose first `prefix_length` tokens are the same."""
    ids = list(examples[0].ids[:prefix_length])
    positions = list(range(prefix_length))
    parts: list[tuple[int, int]] = []
    predicting: list[int] = []
    labels: list[int] = []
    for example in examples:
        start, shift = len(ids), len(ids) - prefix_length
        ids += example.ids[prefix_length:]
        positions += range(prefix_length, len(example.ids))
        parts.append((start, len(ids)))
        predicting += range(example.trained_from - 1 + shift, len(ids) - 1)
        labels += example.ids[example.trained_from :]
    return SharedPrefixBatch(
        input_ids=torch.tensor([ids]),
        position_ids=torch.tensor([positions]),
        layout=Layout(prefix_length, tuple(parts)),
        predicting=torch.tensor(predicting),
        labels=torch.tensor(labels),
    )


def answer_loss(model: Any, batch: SharedPrefixBatch, *, num_trained_tokens: int | None = None) -> Tensor:
    """The cross-entropy summed over the trained tokens, divided by `num_trained_tokens` (default: those of the batch).

    Equal to the loss of the padded batch, and so are its gradients. With several packs per optimiser step, give the
    step's total to each. Logits are computed at trained positions only.
    The model must be one that sharing is exact for: `why_whole` says "" for the longest of the examples.
    Call it outside autocast: a model in bfloat16 is computed in bfloat16, its adapters' gradients are float32.
    """
    decoder = lean(model)
    if decoder is not None:
        total = decoder.loss(batch.input_ids, batch.position_ids, batch.layout, (batch.predicting, batch.labels))
    else:
        total = _standard_loss(model, batch)
    return total / (num_trained_tokens or batch.num_trained_tokens)


def whole_loss(model: Any, example: EncodedExample, *, num_trained_tokens: int) -> Tensor:
    """As `answer_loss`, of one example by itself, for a model that `why_whole` has a reason against sharing for."""
    ids = torch.tensor([example.ids], device=model.device)
    kept = torch.arange(example.trained_from - 1, len(example.ids) - 1, device=model.device)
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    selects = "logits_to_keep" in signature(inner.forward).parameters
    reduced = next(model.parameters()).dtype == torch.bfloat16
    with computed_whole(model), torch.autocast("cpu", torch.bfloat16, enabled=reduced):
        logits = model(input_ids=ids, use_cache=False, **({"logits_to_keep": kept} if selects else {})).logits[0]
    trained = logits if selects else logits[kept]
    total = torch.nn.functional.cross_entropy(trained.float(), ids[0, example.trained_from :], reduction="sum")
    return total / num_trained_tokens


def _standard_loss(model: Any, batch: SharedPrefixBatch) -> Tensor:
    """The summed loss through transformers' own layers, for models that the lean decoder doesn't know."""
    reduced = next(model.parameters()).dtype == torch.bfloat16
    with (
        attending(attending_to(batch.layout), fits_window=True),
        torch.autocast("cpu", torch.bfloat16, enabled=reduced),
    ):
        logits = model(
            input_ids=batch.input_ids,
            position_ids=batch.position_ids,
            use_cache=False,
            logits_to_keep=batch.predicting,
        ).logits
    return torch.nn.functional.cross_entropy(logits[0].float(), batch.labels, reduction="sum")
