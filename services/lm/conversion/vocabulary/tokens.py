"""The tokens and chat templates of a GGUF file: texts and kinds, which are special, where a text begins and ends.

Source: what llama.cpp's `llama-vocab.cpp` makes of the metadata, also where they say nothing.
"""

import re
from functools import lru_cache
from pathlib import Path
from typing import Final

from services.lm.conversion.header import Header
from services.lm.conversion.vocabulary.pre_tokenizers import splitting_rule
from services.lm.errors import InvalidModelFile
from services.lm.folders import MAX_TEMPLATE_BYTES

NOT_OURS: Final = "Import the model as a Hugging Face folder, which brings its own tokenizer files."

NORMAL: Final = 1
UNKNOWN: Final = 2
CONTROL: Final = 3
USER_DEFINED: Final = 4
UNUSED: Final = 5
BYTE: Final = 6
SENTENCEPIECE: Final = "llama"
BYTES: Final = frozenset(f"<0x{byte:02X}>" for byte in range(256))
# What llama.cpp takes where a file of this kind names none.
_SENTENCEPIECE_IDS: Final = {"unk": 0, "bos": 1, "eos": 2}
_ID_KEYS: Final = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding", "eot": "eot", "eom": "eom"}
# What ends an answer, whatever kind a file gives it.
ENDS_BY_TEXT: Final = (
    *("<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>", "<end_of_turn>"),
    *("<|endoftext|>", "</s>", "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<|end_of_text|>"),
    *("<end_of_utterance>", "<eos>", "<turn|>", "<|tool_response>", "<｜end▁of▁sentence｜>", "[e~["),
)
_SHOWN_BY_TEXT: Final = ("<|channel|>", "<|message|>", "<|start|>", "<|constrain|>")

_DEFAULT: Final = "default"
_KEY: Final = "tokenizer.chat_template"
_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}")
_MAX_TEMPLATES: Final = 16


def check_vocabulary(header: Header) -> None:
    """Pass when the tokenizer can be rebuilt so that it gives llama.cpp's ids, and answers can end.

    Raises:
        InvalidModelFile: It can't.
    """
    if is_sentencepiece(header):
        scores(header)
    else:
        splitting_rule(header.text("tokenizer.ggml.pre"))
        texts(header, "tokenizer.ggml.merges")
    count = len(token_texts(header))
    announced = header.metadata.get(f"{header.text('general.architecture')}.vocab_size", count)
    if announced != count:
        raise InvalidModelFile(
            f"{announced} tokens are announced, the vocabulary has {count}.", NOT_OURS, "tokenizer.ggml.tokens"
        )
    named_tokens(header)
    begin_and_end(header)
    if not end_ids(header):
        raise InvalidModelFile("No token is named that ends an answer.", NOT_OURS, "tokenizer.ggml.eos_token_id")


def tokenizer_kind(header: Header) -> str:
    """The tokenizer's kind and pre-tokenizer, for example `gpt2/smollm`."""
    return f"{header.text('tokenizer.ggml.model')}/{header.text('tokenizer.ggml.pre') or 'default'}"


def is_sentencepiece(header: Header) -> bool:
    """Whether neighbours are joined by scores, not bytes by a list of merges."""
    return header.text("tokenizer.ggml.model") == SENTENCEPIECE


def begins_with_blank(header: Header) -> bool:
    """Whether a text of such a vocabulary gets a blank before it, also behind each special token."""
    return bool(header.metadata.get("tokenizer.ggml.add_space_prefix", True))


@lru_cache(maxsize=2)
def token_texts(header: Header) -> tuple[str, ...]:
    """The text of each token, by id.

    Raises:
        InvalidModelFile: The vocabulary is of another kind, or has a token twice.
    """
    model = header.text("tokenizer.ggml.model")
    if model not in ("gpt2", SENTENCEPIECE):
        kind = _OTHER_KINDS.get(model, "unknown")
        raise InvalidModelFile(
            f"The tokenizer {model[:40]!r} ({kind}) is not supported, only byte-level BPE ('gpt2') and "
            "SentencePiece ('llama') are.",
            NOT_OURS,
            "tokenizer.ggml.model",
        )
    stored = enumerate(texts(header, "tokenizer.ggml.tokens"))
    tokens = tuple(text or f"[EMPTY_{index}]" for index, text in stored)
    if len(set(tokens)) != len(tokens):
        raise InvalidModelFile("A token appears twice.", NOT_OURS, "tokenizer.ggml.tokens")
    return tokens


_OTHER_KINDS: Final = {
    "bert": "WordPiece",
    "t5": "Unigram",
    "rwkv": "RWKV",
    "plamo2": "PLaMo-2",
    "gemma4": "SentencePiece-like BPE",
    "no_vocab": "none",
    "none": "none",
}


def token_kinds(header: Header) -> dict[str, int]:
    """The kind of each token that is found in a text before anything else: UNKNOWN, CONTROL or USER_DEFINED."""
    tokens = token_texts(header)
    special = {
        token: kind
        for token, kind in zip(tokens, kinds_by_id(header), strict=True)
        if kind in (UNKNOWN, CONTROL, USER_DEFINED)
    }
    by_text = dict.fromkeys(ENDS_BY_TEXT, CONTROL) | dict.fromkeys(_SHOWN_BY_TEXT, USER_DEFINED)
    present = by_text.keys() & set(tokens)
    return special | {token: kind for token, kind in by_text.items() if token in present}


def kinds_by_id(header: Header) -> list[int]:
    """The kind of each token as the file gives it; where it gives none, all are ordinary.

    Raises:
        InvalidModelFile: There are as many kinds as tokens neither, nor none.
    """
    count = len(token_texts(header))
    kinds = header.metadata.get("tokenizer.ggml.token_type") or [NORMAL] * count
    if not isinstance(kinds, list) or len(kinds) != count:
        raise InvalidModelFile("There is not one type per token.", NOT_OURS, "tokenizer.ggml.token_type")
    return [int(kind) for kind in kinds]


def scores(header: Header) -> list[float]:
    """The score of each token in a vocabulary of SentencePiece, which has a token per byte too.

    Raises:
        InvalidModelFile: It has not.
    """
    values, tokens = header.metadata.get("tokenizer.ggml.scores"), token_texts(header)
    if (
        not isinstance(values, list)
        or len(values) != len(tokens)
        or not all(isinstance(x, int | float) for x in values)
    ):
        raise InvalidModelFile("There is not one score per token.", NOT_OURS, "tokenizer.ggml.scores")
    if not set(tokens) >= BYTES:
        raise InvalidModelFile("A byte has no token of its own.", NOT_OURS, "tokenizer.ggml.tokens")
    return [float(value) for value in values]


def special_ids(header: Header) -> dict[str, int]:
    """The ids of the special tokens that the file names, of `bos eos unk pad eot eom`, each inside the vocabulary."""
    count = len(token_texts(header))
    ids = {}
    defaults = _SENTENCEPIECE_IDS if is_sentencepiece(header) and count > max(_SENTENCEPIECE_IDS.values()) else {}
    for name, key in _ID_KEYS.items():
        value = header.metadata.get(f"tokenizer.ggml.{key}_token_id", defaults.get(name))
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < count:
            raise InvalidModelFile(f"The id {value!r} is not in the vocabulary.", NOT_OURS, f"{key}_token_id")
        ids[name] = value
    return ids


def named_tokens(header: Header) -> dict[str, str]:
    """The texts of the tokens `bos eos unk pad` that the file names.

    Raises:
        InvalidModelFile: The first two are ordinary tokens to the file, which every library takes for special ones.
    """
    tokens, kinds = token_texts(header), token_kinds(header)
    names = {name: tokens[index] for name, index in special_ids(header).items() if name in ("bos", "eos", "unk", "pad")}
    ordinary = next((name for name in ("bos", "eos") if names.get(name) and names[name] not in kinds), None)
    if ordinary is not None:
        raise InvalidModelFile(
            f"The token {names[ordinary][:40]!r} is named as {ordinary!r}, and by its type it is an ordinary one.",
            NOT_OURS,
            "tokenizer.ggml.token_type",
        )
    return {name: token for name, token in names.items() if token in kinds}


def end_ids(header: Header) -> list[int]:
    """The ids that end an answer: those that the file names, then those that end one by their text."""
    ids = special_ids(header)
    named = [ids[name] for name in ("eos", "eot", "eom") if name in ids]
    places = {token: index for index, token in enumerate(token_texts(header))}
    by_text = [places[token] for token in ENDS_BY_TEXT if token in places]
    return list(dict.fromkeys(named + by_text))


def begin_and_end(header: Header) -> tuple[int | None, int | None]:
    """The ids that are put before and after each text, None where none is.

    Raises:
        InvalidModelFile: One is asked for, and the file doesn't name it.
    """
    begins = is_sentencepiece(header) or splitting_rule(header.text("tokenizer.ggml.pre")).begins
    ids = special_ids(header)
    added: list[int | None] = []
    for name, default in (("bos", begins), ("eos", False)):
        is_added = header.metadata.get(f"tokenizer.ggml.add_{name}_token", default)
        if not isinstance(is_added, bool):
            raise InvalidModelFile(
                f"It is {is_added!r}, not true or false.", NOT_OURS, f"tokenizer.ggml.add_{name}_token"
            )
        if is_added and name not in ids:
            raise InvalidModelFile(
                f"Each text gets the token {name!r}, and the file doesn't name it.", NOT_OURS, f"{name}_token_id"
            )
        added.append(ids[name] if is_added else None)
    return added[0], added[1]


def texts(header: Header, key: str) -> list[str]:
    """The list of strings under `key`.

    Raises:
        InvalidModelFile: There is none.
    """
    value = header.metadata.get(key)
    if not isinstance(value, list) or not value or not all(isinstance(item, str) for item in value):
        raise InvalidModelFile("The list of strings is missing.", NOT_OURS, key)
    return value  # type: ignore[return-value]


def chat_templates(header: Header) -> dict[str, str]:
    """The templates by name; that without a name is `default`.

    Raises:
        InvalidModelFile: One is too large, has no usable name, or is announced and not there.
    """
    templates = {
        key.removeprefix(f"{_KEY}.") if key != _KEY else _DEFAULT: header.text(key)
        for key in header.metadata
        if key == _KEY or key.startswith(f"{_KEY}.")
    }
    announced = header.metadata.get("tokenizer.chat_templates", [])
    for name in announced if isinstance(announced, list) else [announced]:
        if name != _DEFAULT and name not in templates:
            raise InvalidModelFile(
                f"The chat template {str(name)[:40]!r} is announced and missing.", NOT_OURS, "tokenizer.chat_templates"
            )
    if len(templates) > _MAX_TEMPLATES:
        raise InvalidModelFile(f"There are more than {_MAX_TEMPLATES} chat templates.", NOT_OURS, _KEY)
    for name, template in templates.items():
        if not _NAME.fullmatch(name):
            raise InvalidModelFile(f"The chat template has the name {name[:40]!r}.", NOT_OURS, _KEY)
        if len(template.encode()) > MAX_TEMPLATE_BYTES:
            raise InvalidModelFile(f"The chat template is larger than {MAX_TEMPLATE_BYTES} bytes.", NOT_OURS, _KEY)
    return {name: template for name, template in templates.items() if template}


def write_chat_templates(header: Header, folder: Path) -> None:
    """Write them as transformers does: `chat_template.jinja`, and `additional_chat_templates/NAME.jinja`."""
    for name, template in chat_templates(header).items():
        place = (
            folder / "chat_template.jinja" if name == _DEFAULT else folder / f"additional_chat_templates/{name}.jinja"
        )
        place.parent.mkdir(exist_ok=True)
        place.write_text(template, encoding="utf-8", newline="")
