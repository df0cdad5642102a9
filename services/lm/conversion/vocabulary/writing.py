"""The tokenizer and chat templates of a folder as a GGUF's metadata; `tokenizer.json` is what counts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from tokenizers import Tokenizer

from services.lm.conversion.families.family import FOLDER_FORMS, Entry
from services.lm.conversion.header import Header
from services.lm.conversion.vocabulary.probes import PROBES, splitting_name
from services.lm.conversion.vocabulary.tokenizer import build_tokenizer
from services.lm.conversion.vocabulary.tokens import CONTROL, ENDS_BY_TEXT, NORMAL, UNUSED, USER_DEFINED
from services.lm.errors import InvalidModelFile
from services.lm.folders.json_files import read_json
from services.lm.folders.templates import DEFAULT, read_templates
from services.lm.folders.tokenizer import FILE, load_tokenizer

_KEY: Final = "tokenizer.ggml"
_TEMPLATE: Final = "tokenizer.chat_template"
# Found by their text.
_ENDS: Final = frozenset(ENDS_BY_TEXT)
_MORE_ENDS: Final = ("eot", "eom")
_GENERATION: Final = "generation_config.json"


def vocabulary_entries(folder: Path, count: int) -> tuple[list[Entry], list[str]]:
    """All entries of `tokenizer.*` for a model with `count` rows of embeddings, and what differs, a sentence each.

    Raises:
        InvalidModelFile: llama.cpp could not give the ids of the folder's tokenizer.
    """
    tokenizer = _tokenizer(folder)
    content = json.loads(tokenizer.to_str())
    ids = _special_ids(folder)
    begin_and_end = _begin_and_end(tokenizer, ids)
    texts, kinds = _tokens(tokenizer, content, count)
    entries: list[Entry] = [
        (f"{_KEY}.model", "gpt2", "STRING"),
        (f"{_KEY}.pre", _splitting(tokenizer, content["model"]), "STRING"),
        (f"{_KEY}.tokens", texts, "ARRAY"),
        (f"{_KEY}.token_type", kinds, "ARRAY"),
        (f"{_KEY}.merges", _merges(content), "ARRAY"),
        *((f"{_KEY}.{name}_token_id", index, "UINT32") for name, index in ids.items()),
        *begin_and_end,
    ]
    notes = _differences(tokenizer, content, entries)
    return [*entries, *_templates(folder)], notes


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
    added = {token["id"]: CONTROL if token["special"] else USER_DEFINED for token in content["added_tokens"]}
    kinds = [added.get(index, NORMAL) if index in texts else UNUSED for index in range(count)]
    return [texts.get(index, f"[PAD{index}]") for index in range(count)], kinds


def _splitting(tokenizer: Tokenizer, model: dict[str, Any]) -> str:
    is_byte_level = "ByteLevel" in str(tokenizer.decoder)
    if model.get("type") != "BPE" or not is_byte_level or model.get("byte_fallback"):
        raise _refused(f"The tokenizer is a {model.get('type')} that does not work on bytes")
    name = splitting_name(tokenizer, whole_words_first=bool(model.get("ignore_merges")))
    if not name:
        raise _refused("The tokenizer splits texts by a rule that llama.cpp does not have")
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
        raise _refused(f"Answers end with {len(others) + 1} different tokens")
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
            raise _refused(f"The tokenizer puts the ids {tokens} around each text, {ids[name]} is named {name!r}")
    return [(f"{_KEY}.add_{name}_token", bool(tokens), "BOOL") for name, tokens in added.items()]


def _differences(tokenizer: Tokenizer, content: dict[str, Any], entries: list[Entry]) -> list[str]:
    """What GGUF's reader makes of the entries has the tokenizer's ids; what only blanks change is told."""
    rebuilt = build_tokenizer(Header((), 0, {key: value for key, value, _ in entries}, ()))  # type: ignore[misc]
    notes = []
    normalizer = tokenizer.normalizer
    plain = [normalizer.normalize_str(text) for text in PROBES] if normalizer else list(PROBES)
    if plain != list(PROBES):
        notes.append("The tokenizer normalises texts before it splits them, llama.cpp does not: ids may differ there.")
    other = next((text for text in plain if _ids(tokenizer, text) != _ids(rebuilt, text)), None)
    if other is not None:
        raise _refused(f"llama.cpp would split {other[:30]!r} into other tokens")
    special = [token["content"] for token in content["added_tokens"]]
    changed = [text for text in special if any(_ids(tokenizer, p) != _ids(rebuilt, p) for p in (f"x {text} y", text))]
    if changed:
        notes.append(f"Blanks beside {', '.join(map(repr, changed[:5]))} give other ids in llama.cpp.")
    return notes


def _ids(tokenizer: Tokenizer, text: str) -> list[int]:
    return list(tokenizer.encode(text, add_special_tokens=False).ids)


def _templates(folder: Path) -> list[Entry]:
    templates = read_templates(folder)
    by_name = {DEFAULT: templates} if isinstance(templates, str) else templates or {}
    others = [name for name in by_name if name != DEFAULT]
    entries: list[Entry] = [
        (_TEMPLATE if name == DEFAULT else f"{_TEMPLATE}.{name}", text, "STRING") for name, text in by_name.items()
    ]
    return [*entries, *([(f"{_TEMPLATE}s", others, "ARRAY")] if others else [])]


def _refused(problem: str) -> InvalidModelFile:
    return InvalidModelFile(f"{problem}.", FOLDER_FORMS, FILE)
