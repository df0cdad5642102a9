"""The tokenizer and chat templates of a folder as a GGUF's metadata; `tokenizer.json` is what counts."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tokenizers import Tokenizer

from services.lm.conversion.families.family import Entry
from services.lm.conversion.header import Header
from services.lm.conversion.vocabulary.comparison import blanks, cannot_write, differences, splitting_name, written_text
from services.lm.conversion.vocabulary.tokenizer import (
    NEEDED_TO_STRIP,
    NEVER_STRIPPED,
    build_tokenizer,
    is_stripping_name,
    merges_of,
)
from services.lm.conversion.vocabulary.tokens import (
    BYTE,
    BYTES,
    CONTROL,
    ENDS_BY_TEXT,
    NORMAL,
    SENTENCEPIECE,
    UNKNOWN,
    UNUSED,
    USER_DEFINED,
)
from services.lm.errors import InvalidModelFile
from services.lm.folders.json_files import read_json
from services.lm.folders.templates import DEFAULT, read_templates
from services.lm.folders.tokenizer import FILE, load_tokenizer

_KEY: Final = "tokenizer.ggml"
_TEMPLATE: Final = "tokenizer.chat_template"
# Found by their text.
_ENDS: Final = frozenset(ENDS_BY_TEXT)
_MORE_ENDS: Final = ("eot", "eom")
# The score of what no pair makes.
_NEVER: Final = -1e6
_GENERATION: Final = "generation_config.json"


@dataclass(frozen=True)
class Vocabulary:
    """What a GGUF's metadata say of tokens and chat templates.

    Attributes:
        entries: All of `tokenizer.*`.
        notes: What differs, a sentence each.
        strips_right: Special tokens take the blanks behind them, which llama.cpp tells by the model's name.
    """

    entries: list[Entry]
    notes: list[str]
    strips_right: bool


def read_vocabulary(folder: Path, count: int) -> Vocabulary:
    """The vocabulary of a folder whose model has `count` rows of embeddings.

    Raises:
        InvalidModelFile: llama.cpp could not give the ids of the folder's tokenizer.
    """
    tokenizer = _tokenizer(folder)
    content = json.loads(tokenizer.to_str())
    is_sentencepiece = bool(content["model"].get("byte_fallback"))
    ids = _special_ids(folder)
    begin_and_end = _begin_and_end(tokenizer, ids)
    texts, kinds = _tokens(tokenizer, content, count)
    model = _scored(tokenizer, content, texts, kinds) if is_sentencepiece else _merged(tokenizer, content)
    entries: list[Entry] = [
        (f"{_KEY}.tokens", texts, "ARRAY"),
        (f"{_KEY}.token_type", kinds, "ARRAY"),
        *model,
        *((f"{_KEY}.{name}_token_id", index, "UINT32") for name, index in ids.items()),
        *begin_and_end,
    ]
    flags = [token["rstrip"] for token in content["added_tokens"] if token["content"] not in NEVER_STRIPPED]
    strips_right = bool(flags) and all(flags) and set(texts) >= NEEDED_TO_STRIP
    metadata = {key: value for key, value, _ in entries} | {"general.name": model_name("", strips_right=strips_right)}
    notes = differences(tokenizer, content, build_tokenizer(Header((), 0, metadata, ())))  # type: ignore[arg-type]
    return Vocabulary([*entries, *_templates(folder)], notes, strips_right)


def model_name(name: str, *, strips_right: bool) -> str:
    """The name that makes llama.cpp do so, or not."""
    if strips_right == is_stripping_name(name):
        return name
    return f"Phi-3 {name}" if strips_right else re.sub("phi-?3", "Phi", name, flags=re.IGNORECASE)


def _tokenizer(folder: Path) -> Tokenizer:
    if not (folder / FILE).is_file():
        raise InvalidModelFile("The file is missing.", "Save the tokenizer with its save_pretrained.", FILE)
    return Tokenizer.from_file(str(folder / FILE))


def _tokens(tokenizer: Tokenizer, content: dict[str, Any], count: int) -> tuple[list[str], list[int]]:
    """Texts and kinds by id; ids without a token are filled up, as llama.cpp has it."""
    texts = {index: text for text, index in tokenizer.get_vocab().items()}
    if max(texts) >= count:
        raise InvalidModelFile(
            f"The tokenizer has the id {max(texts)}, the embeddings have {count} rows.",
            "Resize the model's embeddings to its tokenizer.",
            FILE,
        )
    kinds = {index: BYTE if text in BYTES else NORMAL for index, text in texts.items()}
    for token in content["added_tokens"]:
        kinds[token["id"]] = CONTROL if token["special"] else USER_DEFINED
        texts[token["id"]] = written_text(token)
    unknown = tokenizer.token_to_id(content["model"].get("unk_token") or "")
    if unknown is not None:
        kinds[unknown] = UNKNOWN
    all_texts = [texts.get(index, f"[PAD{index}]") for index in range(count)]
    return all_texts, [kinds.get(index, UNUSED) for index in range(count)]


def _merged(tokenizer: Tokenizer, content: dict[str, Any]) -> list[Entry]:
    return [
        (f"{_KEY}.model", "gpt2", "STRING"),
        (f"{_KEY}.pre", _splitting(tokenizer, content["model"]), "STRING"),
        (f"{_KEY}.merges", _merges(content), "ARRAY"),
    ]


def _scored(tokenizer: Tokenizer, content: dict[str, Any], texts: list[str], kinds: list[int]) -> list[Entry]:
    """A token's score says when the first pair that makes it is joined."""
    ordinary = {text for text, kind in zip(texts, kinds, strict=True) if kind == NORMAL}
    merges = [(left, right) for left, right in content["model"]["merges"] if left + right in ordinary]
    order = {left + right: -float(index) for index, (left, right) in reversed(list(enumerate(merges)))}
    vocabulary = {text: index for index, text in enumerate(texts)}
    has_letters = all(letter in vocabulary for letter in set("".join(ordinary)))
    if not has_letters or set(merges) != set(
        merges_of({text: order.get(text, _NEVER) for text in ordinary}, vocabulary)
    ):
        raise cannot_write("The tokenizer joins other pairs than those that make a token")
    return [
        (f"{_KEY}.model", SENTENCEPIECE, "STRING"),
        (f"{_KEY}.pre", "default", "STRING"),
        (f"{_KEY}.scores", [order.get(text, _NEVER) for text in texts], "ARRAY"),
        (f"{_KEY}.add_space_prefix", blanks(tokenizer, content) == (True, True), "BOOL"),
    ]


def _splitting(tokenizer: Tokenizer, model: dict[str, Any]) -> str:
    is_byte_level = "ByteLevel" in str(tokenizer.decoder)
    if model.get("type") != "BPE" or not is_byte_level:
        raise cannot_write(f"The tokenizer is a {model.get('type')} that does not work on bytes")
    name = splitting_name(tokenizer, whole_words_first=bool(model.get("ignore_merges")))
    if not name:
        raise cannot_write("The tokenizer splits texts by a rule that llama.cpp does not have")
    return name


def _merges(content: dict[str, Any]) -> list[str]:
    # Where nothing is merged, a merge of nothing: llama.cpp wants the list, and no writer takes an empty one.
    return [" ".join(pair) for pair in content["model"]["merges"]] or [""]


def _special_ids(folder: Path) -> dict[str, int]:
    """By GGUF's names; ends that an answer has beside its tokenizer's are told as `eot` and `eom`."""
    loaded = load_tokenizer(folder)
    named = {
        "bos": loaded.bos_token_id,
        "eos": loaded.eos_token_id,
        "unknown": loaded.unk_token_id,
        "padding": loaded.pad_token_id,
    }
    ends = read_json(folder / _GENERATION).get("eos_token_id") if (folder / _GENERATION).is_file() else None
    ends = [] if ends is None else ends if isinstance(ends, list) else [ends]
    named["eos"] = named["eos"] if named["eos"] is not None or not ends else ends[0]
    others = [index for index in ends if index != named["eos"] and loaded.convert_ids_to_tokens(index) not in _ENDS]
    if len(others) > len(_MORE_ENDS):
        raise cannot_write(f"Answers end with {len(others) + 1} different tokens")
    return {name: index for name, index in named.items() if index is not None} | dict(
        zip(_MORE_ENDS, others, strict=False)
    )


def _begin_and_end(tokenizer: Tokenizer, ids: dict[str, int]) -> list[Entry]:
    """Whether each text begins and ends with a token; `ids` gets one that nobody names."""
    bare, whole = (tokenizer.encode("a", add_special_tokens=is_whole).ids for is_whole in (False, True))
    start = next((at for at in range(len(whole)) if whole[at : at + len(bare)] == bare), 0)
    added = {"bos": whole[:start], "eos": whole[start + len(bare) :]}
    for name, tokens in added.items():
        if tokens and tokens != [ids.setdefault(name, tokens[0])]:
            raise cannot_write(f"The tokenizer puts the ids {tokens} around each text, {ids[name]} is named {name!r}")
    return [(f"{_KEY}.add_{name}_token", bool(tokens), "BOOL") for name, tokens in added.items()]


def _templates(folder: Path) -> list[Entry]:
    templates = read_templates(folder)
    by_name = {DEFAULT: templates} if isinstance(templates, str) else templates or {}
    others = [name for name in by_name if name != DEFAULT]
    entries: list[Entry] = [
        (_TEMPLATE if name == DEFAULT else f"{_TEMPLATE}.{name}", text, "STRING") for name, text in by_name.items()
    ]
    return [*entries, *([(f"{_TEMPLATE}s", others, "ARRAY")] if others else [])]
