"""Vocabularies of SentencePiece: neighbours are joined as long as they make a token, that of the highest score first.

llama.cpp computes it so; tokenizers computes the same from a list of merges, each pair of tokens that makes a token, in
the order of scores. Blanks are written as ▁, and what has no token as bytes.
"""

from collections.abc import Mapping
from typing import Final

from tokenizers import Tokenizer, decoders, models, normalizers

from services.lm.conversion.header import Header
from services.lm.conversion.vocabulary.tokens import (
    BYTES,
    NORMAL,
    UNUSED,
    begins_with_blank,
    kinds_by_id,
    scores,
    special_ids,
    token_texts,
)

BLANK: Final = "▁"


def sentencepiece_tokenizer(header: Header) -> Tokenizer:
    """The tokenizer without its special tokens.

    Raises:
        InvalidModelFile: Scores or bytes are missing.
    """
    tokens = token_texts(header)
    ordinary = {
        token: score
        for token, score, kind in zip(tokens, scores(header), kinds_by_id(header), strict=True)
        if kind in (NORMAL, UNUSED) and token not in BYTES
    }
    vocabulary = {token: index for index, token in enumerate(tokens)}
    unknown = special_ids(header).get("unk")
    merges = merges_of(ordinary, vocabulary)
    tokenizer = Tokenizer(
        models.BPE(
            vocab=vocabulary,
            merges=merges,
            unk_token=None if unknown is None else tokens[unknown],
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    has_blank = begins_with_blank(header)
    first = [normalizers.Prepend(BLANK)] if has_blank else []
    tokenizer.normalizer = normalizers.Sequence([*first, normalizers.Replace(" ", BLANK)])
    last = [decoders.Strip(" ", 1, 0)] if has_blank else []
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(BLANK, " "), decoders.ByteFallback(), decoders.Fuse(), *last]
    )
    return tokenizer


def merges_of(ordinary: Mapping[str, float], vocabulary: Mapping[str, int]) -> list[tuple[str, str]]:
    """Each pair of tokens that makes one of those with a score, the highest first."""
    merges = []
    for token in sorted(ordinary, key=lambda token: -ordinary[token]):
        pairs = [(token[:at], token[at:]) for at in range(1, len(token))]
        known = [pair for pair in pairs if pair[0] in vocabulary and pair[1] in vocabulary]
        merges += sorted(known, key=lambda pair: (vocabulary[pair[0]], vocabulary[pair[1]]))
    return merges
