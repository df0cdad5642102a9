"""Log-probabilities of tokens: of those that were chosen, and of a prompt's own."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from services.lm.chat import marks_beginnings
from services.lm.generation.attention import Prefix, SegmentReader
from services.lm.generation.forward import Forward
from services.lm.generation.requests import TokenScores
from services.lm.worker_protocol import Sampling

# Rows turned to float32 at a time: a large vocabulary takes much memory.
_ROWS: Final = 128
# A prompt's tokens at a time: the logits of all of them are held.
_TOKENS: Final = 512


def score(tokenizer: PreTrainedTokenizerBase, logits: Tensor, tokens: Sequence[int], num_top: int) -> TokenScores:
    """What each row of `logits`, shape (tokens, vocabulary), thought of its token, before temperature and filters."""
    scores = TokenScores()
    for start in range(0, len(tokens), _ROWS):
        some = list(tokens[start : start + _ROWS])
        log_probs = torch.log_softmax(logits[start : start + len(some)].float(), -1)
        own = log_probs.gather(1, torch.tensor(some, device=logits.device)[:, None])[:, 0].tolist()
        top = log_probs.topk(num_top, dim=-1) if num_top else None
        rows = [] if top is None else zip(top.indices.tolist(), top.values.tolist(), strict=True)
        likeliest = tuple(tuple(zip(token_texts(tokenizer, ids), values, strict=True)) for ids, values in rows)
        scores += TokenScores(tuple(own), token_texts(tokenizer, some), likeliest)
    return scores


def drawn_log_probs(logits: Tensor, tokens: Sequence[int], sampling: Sampling) -> list[float]:
    """The log-probability of each row's token under the temperature, whatever else chooses among them."""
    values: list[float] = []
    for start in range(0, len(tokens), _ROWS):
        some = torch.tensor(tokens[start : start + _ROWS], device=logits.device)[:, None]
        scaled = logits[start : start + len(some)].float() / (sampling.temperature or 1.0)
        values += (scaled.gather(1, some)[:, 0] - torch.logsumexp(scaled, -1)).tolist()
    return values


@torch.no_grad()
def echo_scores(
    forward: Forward,
    tokenizer: PreTrainedTokenizerBase,
    ids: Sequence[int],
    num_top: int,
    *,
    first: int = 1,
    prefix: Prefix | None = None,
) -> TokenScores:
    """The scores of the tokens from the place `first` on, at least 1, since nothing comes before the token at 0.

    `prefix` is what was read of the beginning already; it ends before `first`.
    """
    scores = TokenScores()
    for start, end, logits, _ in _read(forward, ids, prefix, first):
        scores += score(tokenizer, logits, ids[max(start + 1, first) : end + 1], num_top)
    return scores


@torch.no_grad()
def read_prefix(forward: Forward, ids: Sequence[int], length: int) -> Prefix | None:
    """The keys and values of the first `length` tokens, of which there are more; None for none."""
    read = [prefix for *_, prefix in _read(forward, ids[: length + 1], None, len(ids))]
    return read[-1] if read else None


def _read(
    forward: Forward, ids: Sequence[int], past: Prefix | None, first: int
) -> Iterator[tuple[int, int, Tensor, Prefix]]:
    """Yield stretches of all tokens but the last: where, the logits of what follows from `first` on, and all read."""
    begin = past.length if past else 0
    for start, end in pairwise((*range(begin, len(ids) - 1, _TOKENS), len(ids) - 1)):
        reader, device = SegmentReader(forward.heads, past), forward.device
        positions = torch.arange(start, end, device=device)[None]
        # Logits are of the following token; one row is the least that is computed.
        begin_row = min(max(first - 1 - start, 0), end - start - 1)
        rows = torch.arange(begin_row, end - start, device=device)
        logits = forward.logits(torch.tensor([list(ids[start:end])], device=device), positions, reader, rows)
        layers = tuple(reader.layers)
        past = Prefix(
            end, layers if past is None else tuple(torch.cat(pair, 2) for pair in zip(past.layers, layers, strict=True))
        )
        yield start, end, logits, past


def token_texts(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[int]) -> tuple[str, ...]:
    """The text of each token, special tokens included, as it stands within a text."""
    texts = tuple(tokenizer.decode([token], clean_up_tokenization_spaces=False) for token in tokens)
    if not marks_beginnings(tokenizer):
        return texts
    # A blank before it is taken off where a token begins a text, and stays behind another one.
    twice = (tokenizer.decode([token, token], clean_up_tokenization_spaces=False) for token in tokens)
    return tuple(both[len(text) :] for both, text in zip(twice, texts, strict=True))
