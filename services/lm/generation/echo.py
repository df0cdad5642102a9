"""What the model thinks of a prompt's own tokens."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import torch
from transformers import PreTrainedTokenizerBase

from services.lm.generation.attention import SegmentReader
from services.lm.generation.cache import Prefix
from services.lm.generation.forward import Forward
from services.lm.generation.requests import TokenScores
from services.lm.generation.scores import score

# Tokens at a time: the logits of all of them are held.
_TOKENS: Final = 512


@torch.no_grad()
def echo_scores(forward: Forward, tokenizer: PreTrainedTokenizerBase, ids: Sequence[int], num_top: int) -> TokenScores:
    """The scores of each token but the first, which nothing comes before."""
    scores = TokenScores()
    past: Prefix | None = None
    for start, end in pairwise((*range(0, len(ids) - 1, _TOKENS), len(ids) - 1)):
        reader = SegmentReader(forward.heads, end - start, past)
        positions = torch.arange(start, end)[None]
        logits = forward.logits(torch.tensor([list(ids[start:end])]), positions, reader, torch.arange(end - start))
        scores += score(tokenizer, logits, ids[start + 1 : end + 1], num_top)
        layers = tuple(reader.layers)
        past = Prefix(end, layers if past is None else tuple(map(_behind, past.layers, layers)))
    return scores


def _behind(before: torch.Tensor, layer: torch.Tensor) -> torch.Tensor:
    return torch.cat((before, layer), 2)
