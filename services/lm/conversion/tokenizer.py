"""The tokenizer inside a GGUF file, rebuilt as `tokenizer.json`, `tokenizer_config.json` and a chat template."""

from __future__ import annotations

import json
from typing import Final

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from services.lm.conversion.header import Header
from services.lm.errors import InvalidModelFile

MAX_TEMPLATE_BYTES: Final = 1 << 20
_CONTROL: Final = 3
_USER_DEFINED: Final = 4
_NOT_OURS: Final = "Import the model as a Hugging Face folder, which brings its own tokenizer files."

# Source: the pre-tokenizer patterns of llama.cpp's llama-vocab.cpp; `{digits}` is what differs between the last two.
_SPLIT: Final = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|@| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_DIGITS: Final = {"llama-bpe": r"\p{N}{1,3}", "qwen2": r"\p{N}"}


def tokenizer_kind(header: Header) -> str:
    """The tokenizer's kind and pre-tokenizer, for example `gpt2/smollm`."""
    return f"{header.text('tokenizer.ggml.model')}/{header.text('tokenizer.ggml.pre', 'gpt-2')}"


def chat_template_of(header: Header) -> str:
    """The chat template, or "" when the file has none.

    Raises:
        InvalidModelFile: It is larger than any real template.
    """
    template = header.text("tokenizer.chat_template")
    if len(template.encode()) > MAX_TEMPLATE_BYTES:
        raise InvalidModelFile(
            f"The chat template is larger than {MAX_TEMPLATE_BYTES} bytes.", _NOT_OURS, "tokenizer.chat_template"
        )
    return template


def special_ids(header: Header) -> dict[str, int]:
    """The ids of the special tokens that the file names, of `bos eos unk pad eot`, each inside the vocabulary."""
    keys = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding", "eot": "eot"}
    tokens = _texts(header, "tokenizer.ggml.tokens")
    found = {}
    for name, key in keys.items():
        value = header.metadata.get(f"tokenizer.ggml.{key}_token_id")
        if value is None:
            continue
        if not isinstance(value, int) or not 0 <= value < len(tokens):
            raise InvalidModelFile(f"The id {value!r} is not in the vocabulary.", _NOT_OURS, f"{key}_token_id")
        found[name] = value
    return found


def build_tokenizer(header: Header) -> Tokenizer:
    """The tokenizer, giving the ids that llama.cpp gives.

    Raises:
        InvalidModelFile: Its kind is not byte-level BPE with a known pre-tokenizer, or a merge names an unknown token.
    """
    if header.text("tokenizer.ggml.model") != "gpt2":
        raise InvalidModelFile(f"The tokenizer kind {tokenizer_kind(header)!r} is not supported.", _NOT_OURS)
    tokens, merges = _texts(header, "tokenizer.ggml.tokens"), _texts(header, "tokenizer.ggml.merges")
    vocabulary = {token: index for index, token in enumerate(tokens)}
    if len(vocabulary) != len(tokens):
        raise InvalidModelFile("A token appears twice.", _NOT_OURS, "tokenizer.ggml.tokens")
    pairs = [_merge(line, vocabulary) for line in merges]
    pre = header.text("tokenizer.ggml.pre", "gpt-2")
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=pairs, ignore_merges=pre == "llama-bpe"))
    if pre == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = _pre_tokenizer(pre)
    tokenizer.decoder = decoders.ByteLevel()
    _add_special(tokenizer, header, tokens)
    return tokenizer


def tokenizer_configuration(header: Header) -> str:
    """The `tokenizer_config.json`: names of the special tokens, and nothing that could run."""
    tokens = _texts(header, "tokenizer.ggml.tokens")
    names = {f"{name}_token": tokens[index] for name, index in special_ids(header).items() if name != "eot"}
    entries = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False, **names}
    return json.dumps(entries, indent=2, ensure_ascii=False)


def _texts(header: Header, key: str) -> list[str]:
    value = header.metadata.get(key)
    if not isinstance(value, list) or not value or not all(isinstance(item, str) for item in value):
        raise InvalidModelFile("The list of strings is missing.", _NOT_OURS, key)
    return value  # type: ignore[return-value]


def _merge(line: str, vocabulary: dict[str, int]) -> tuple[str, str]:
    left, _, right = line.partition(" ")
    if left not in vocabulary or right not in vocabulary or left + right not in vocabulary:
        raise InvalidModelFile(
            f"The merge {line[:60]!r} names a token that is unknown.", _NOT_OURS, "tokenizer.ggml.merges"
        )
    return left, right


def _pre_tokenizer(pre: str) -> pre_tokenizers.PreTokenizer:
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=pre not in _DIGITS)
    if pre in ("gpt-2", "default"):
        return byte_level
    if pre == "smollm":
        return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level])
    if pre in _DIGITS:
        split = Regex(_SPLIT.replace("@", _DIGITS[pre]))
        return pre_tokenizers.Sequence([pre_tokenizers.Split(split, "isolated"), byte_level])
    raise InvalidModelFile(f"The pre-tokenizer {pre[:40]!r} is not supported.", _NOT_OURS, "tokenizer.ggml.pre")


def _add_special(tokenizer: Tokenizer, header: Header, tokens: list[str]) -> None:
    kinds = header.metadata.get("tokenizer.ggml.token_type", [])
    if not isinstance(kinds, list) or len(kinds) not in (0, len(tokens)):
        raise InvalidModelFile("There is not one type per token.", _NOT_OURS, "tokenizer.ggml.token_type")
    for token, kind in zip(tokens, kinds, strict=False):
        if kind in (_CONTROL, _USER_DEFINED):
            tokenizer.add_tokens([AddedToken(token, normalized=False, special=kind == _CONTROL)])
    bos = special_ids(header).get("bos")
    if bos is not None and header.metadata.get("tokenizer.ggml.add_bos_token") is True:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=[tokens[bos], "$A"], pair=[tokens[bos], "$A", tokens[bos], "$B"], special_tokens=[(tokens[bos], bos)]
        )
