"""The tokenizer inside a GGUF file, rebuilt as `tokenizer.json` and `tokenizer_config.json`."""

from __future__ import annotations

import json
from typing import Final

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors

from services.lm.conversion.header import Header
from services.lm.conversion.vocabulary.pre_tokenizers import splitting_rule
from services.lm.conversion.vocabulary.tokens import (
    NOT_OURS,
    USER_DEFINED,
    begin_and_end,
    named_tokens,
    texts,
    token_kinds,
    token_texts,
)
from services.lm.errors import InvalidModelFile

# Their mask takes the blanks before it.
_MASKED: Final = ("jina-v2-de", "jina-v2-es", "jina-v2-code")


def build_tokenizer(header: Header) -> Tokenizer:
    """The tokenizer, giving the ids that llama.cpp gives.

    Raises:
        InvalidModelFile: Its kind is not byte-level BPE with a known pre-tokenizer, or a merge names an unknown token.
    """
    tokens = token_texts(header)
    vocabulary = {token: index for index, token in enumerate(tokens)}
    # The first of equal merges decides.
    lines = dict.fromkeys(line for line in texts(header, "tokenizer.ggml.merges") if line)
    pairs = [_merge(line, vocabulary) for line in lines]
    pre = header.text("tokenizer.ggml.pre")
    rule = splitting_rule(pre)
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=pairs, ignore_merges=rule.whole_words_first))
    tokenizer.pre_tokenizer = splitter(rule.patterns)
    tokenizer.decoder = decoders.ByteLevel()
    for token, kind in token_kinds(header).items():
        takes_blanks = token == "<mask>" and pre in _MASKED
        tokenizer.add_tokens([AddedToken(token, lstrip=takes_blanks, normalized=False, special=kind != USER_DEFINED)])
    _add_begin_and_end(tokenizer, header, tokens)
    return tokenizer


def splitter(patterns: tuple[str, ...]) -> pre_tokenizers.PreTokenizer:
    """What splits a text by each pattern in turn, and writes its bytes as letters."""
    splits: list[pre_tokenizers.PreTokenizer] = [
        pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in patterns
    ]
    return pre_tokenizers.Sequence([*splits, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def tokenizer_configuration(header: Header) -> str:
    """The `tokenizer_config.json`: names of the special tokens, and nothing that could run."""
    names = {f"{name}_token": token for name, token in named_tokens(header).items()}
    entries = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False, **names}
    return json.dumps(entries, indent=2, ensure_ascii=False)


def _merge(line: str, vocabulary: dict[str, int]) -> tuple[str, str]:
    left, _, right = line.partition(" ")
    if left not in vocabulary or right not in vocabulary or left + right not in vocabulary:
        raise InvalidModelFile(
            f"The merge {line[:60]!r} names a token that is unknown.", NOT_OURS, "tokenizer.ggml.merges"
        )
    return left, right


def _add_begin_and_end(tokenizer: Tokenizer, header: Header, tokens: tuple[str, ...]) -> None:
    begin, end = begin_and_end(header)
    added = {tokens[index]: index for index in (begin, end) if index is not None}
    if not added:
        return
    before = [tokens[begin]] if begin is not None else []
    after = [tokens[end]] if end is not None else []
    tokenizer.post_processor = processors.TemplateProcessing(
        single=[*before, "$A", *after],
        pair=[*before, "$A", *after, *before, "$B", *after],
        special_tokens=list(added.items()),
    )
