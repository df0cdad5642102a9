"""The tokenizer inside a GGUF file, rebuilt as `tokenizer.json` and `tokenizer_config.json`."""

import json
from collections.abc import Mapping
from typing import Final

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from services.lm.conversion.header import Header
from services.lm.conversion.vocabulary.pre_tokenizers import splitting_rule
from services.lm.conversion.vocabulary.tokens import (
    BYTES,
    NORMAL,
    NOT_OURS,
    UNUSED,
    USER_DEFINED,
    begin_and_end,
    begins_with_blank,
    is_sentencepiece,
    kinds_by_id,
    named_tokens,
    scores,
    special_ids,
    texts,
    token_kinds,
    token_texts,
)
from services.lm.errors import InvalidModelFile

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


# Their mask takes the blanks before it.
_MASKED: Final = ("jina-v2-de", "jina-v2-es", "jina-v2-code")
NEVER_STRIPPED: Final = ("<unk>", "<s>", "<|endoftext|>")
# llama.cpp loads no model of such a name without them.
NEEDED_TO_STRIP: Final = frozenset((*NEVER_STRIPPED, "</s>"))


def build_tokenizer(header: Header) -> Tokenizer:
    """The tokenizer, giving the ids that llama.cpp gives.

    Raises:
        InvalidModelFile: Its kind or its pre-tokenizer is not known, or a merge names an unknown token.
    """
    tokens = token_texts(header)
    pre = header.text("tokenizer.ggml.pre")
    tokenizer = sentencepiece_tokenizer(header) if is_sentencepiece(header) else _of_bytes(header, tokens, pre)
    strips_right = is_stripping_name(header.text("general.name"))
    for token, kind in token_kinds(header).items():
        tokenizer.add_tokens(
            [
                AddedToken(
                    token,
                    lstrip=token == "<mask>" and pre in _MASKED,
                    rstrip=strips_right and token not in NEVER_STRIPPED,
                    normalized=False,
                    special=kind != USER_DEFINED,
                )
            ]
        )
    _add_begin_and_end(tokenizer, header, tokens)
    return tokenizer


def is_stripping_name(name: str) -> bool:
    """Whether special tokens take the blanks behind them, which llama.cpp tells by the model's name."""
    return any(part in name.lower() for part in ("phi-3", "phi3"))


def _of_bytes(header: Header, tokens: tuple[str, ...], pre: str) -> Tokenizer:
    vocabulary = {token: index for index, token in enumerate(tokens)}
    # The first of equal merges decides.
    lines = dict.fromkeys(line for line in texts(header, "tokenizer.ggml.merges") if line)
    pairs = [_merge(line, vocabulary) for line in lines]
    rule = splitting_rule(pre)
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=pairs, ignore_merges=rule.whole_words_first))
    tokenizer.pre_tokenizer = splitter(rule.patterns)
    tokenizer.decoder = decoders.ByteLevel()
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
