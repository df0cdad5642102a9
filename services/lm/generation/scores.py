"""Log-probabilities of tokens that were chosen or given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from services.lm.generation.requests import TokenScores

# Rows turned to float32 at a time: a large vocabulary takes much memory.
_ROWS: Final = 128


def score(tokenizer: PreTrainedTokenizerBase, logits: Tensor, tokens: Sequence[int], num_top: int) -> TokenScores:
    """What each row of `logits`, shape (tokens, vocabulary), thought of its token, before temperature and filters."""
    scores = TokenScores()
    for start in range(0, len(tokens), _ROWS):
        some = list(tokens[start : start + _ROWS])
        log_probs = torch.log_softmax(logits[start : start + len(some)].float(), -1)
        own = log_probs.gather(1, torch.tensor(some)[:, None])[:, 0].tolist()
        top = log_probs.topk(num_top, dim=-1) if num_top else None
        rows = [] if top is None else zip(top.indices.tolist(), top.values.tolist(), strict=True)
        likeliest = tuple(tuple(zip(token_texts(tokenizer, ids), values, strict=True)) for ids, values in rows)
        scores += TokenScores(tuple(own), token_texts(tokenizer, some), likeliest)
    return scores


def token_texts(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[int]) -> tuple[str, ...]:
    """The text of each token by itself, special tokens included."""
    return tuple(tokenizer.decode([token], clean_up_tokenization_spaces=False) for token in tokens)
