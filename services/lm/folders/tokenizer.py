"""The tokenizer of a folder, whose ids are those of its `tokenizer.json`, whatever class its settings name.

Transformers builds the pipeline of many classes anew (those of GPT-2, Qwen2, RoBERTa, GPT-NeoX, Llama, Gemma and some
fifty more) and takes only vocabulary and merges from the file. So none of them is used here: the file is the tokenizer,
and the settings name special tokens and chat templates, and add nothing to it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any, Final

import transformers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from services.lm.errors import InvalidModelFile
from services.lm.folders.json_files import read_json
from services.lm.folders.templates import read_templates

FILE: Final = "tokenizer.json"
SETTINGS: Final = "tokenizer_config.json"
_MAP: Final = "special_tokens_map.json"
_ADDED: Final = "added_tokens.json"
_DECODER: Final = "added_tokens_decoder"
# Templates write these two, and the second ends an answer: without them nothing is right.
_NEEDED: Final = ("bos_token", "eos_token")
_MAX_DIGITS: Final = 10
_LISTS: Final = ("extra_special_tokens", "additional_special_tokens")
_SAVE_AGAIN: Final = "Save the tokenizer anew with its save_pretrained, so that tokenizer.json holds all tokens."


@dataclass(frozen=True)
class _Names:
    """What the settings call special.

    Attributes:
        by_role: Texts by attribute, such as `eos_token`.
        others: Texts that are special without a role.
        numbered: Texts by the id that the settings give them.
        named: The roles that the settings name themselves.
    """

    by_role: dict[str, str]
    others: tuple[str, ...]
    numbered: dict[str, int]
    named: frozenset[str]


def load_tokenizer(path: Path) -> PreTrainedTokenizerBase:
    """The tokenizer in the folder `path`; it encodes exactly as `tokenizer.json` says.

    Raises:
        InvalidModelFile: Its files are missing or damaged, or the settings need a token that `tokenizer.json` lacks.
    """
    settings = read_settings(path)
    tokenizer = _from_file(path / FILE)
    tokenizer.chat_template = read_templates(path)
    names = _names(path, settings)
    _check_numbers(tokenizer, names)
    _check_needed(tokenizer, names)
    roles = {role: text for role, text in names.by_role.items() if _has(tokenizer, text)}
    # A role that only this model has; as an attribute it must not hide one of the tokenizer's own.
    own = [role for role in roles if role not in tokenizer.SPECIAL_TOKENS_ATTRIBUTES]
    tokenizer.SPECIAL_TOKENS_ATTRIBUTES = [*tokenizer.SPECIAL_TOKENS_ATTRIBUTES, *own]
    for role, text in roles.items():
        setattr(tokenizer, role, text)
    tokenizer.extra_special_tokens = [text for text in names.others if _has(tokenizer, text)]
    return tokenizer


def read_settings(path: Path) -> dict[str, Any]:
    """The settings beside the tokenizer's file; none if there is no such file."""
    return read_json(path / SETTINGS) if (path / SETTINGS).is_file() else {}


def left_out(path: Path, tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """What the settings say of tokens and the file does not, a sentence each; the file counts."""
    settings = read_settings(path)
    names, sentences = _names(path, settings), []
    roles = [text for role, text in names.by_role.items() if role in names.named]
    absent = [text for text in (*roles, *names.others) if not _has(tokenizer, text)]
    if absent:
        sentences.append(f"tokenizer.json does not hold {_shown(absent)}, which the settings name: left out.")
    own_tokens = {str(token) for token in tokenizer.added_tokens_decoder.values()}
    plain = [text for text in (*roles, *names.others) if text not in {*absent, *own_tokens}]
    if plain:
        sentences.append(
            f"tokenizer.json does not mark {_shown(plain)} as tokens of their own, so that in a text they are letters."
        )
    flags = {str(token): repr(token) for token in tokenizer.added_tokens_decoder.values()}
    changed = [text for text, described in _described(settings) if text in flags and flags[text] != described]
    if changed:
        sentences.append(f"The settings describe {_shown(changed)} otherwise than tokenizer.json, which counts.")
    return sentences


def _from_file(file: Path) -> Any:
    if not file.is_file():
        raise InvalidModelFile("tokenizer.json is missing.", "Choose a folder with a fast tokenizer.", str(file.parent))
    try:
        tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(file), clean_up_tokenization_spaces=False)
    except Exception as error:
        # The tokenizers library raises nothing narrower.
        raise InvalidModelFile(
            f"The tokenizer cannot be loaded ({error}).", "Fetch the files again.", str(file.parent)
        ) from error
    return tokenizer


def _names(path: Path, settings: Mapping[str, Any]) -> _Names:
    """What the settings name, the older files included, ranked as transformers ranks them."""
    named = dict(settings)
    numbered = {
        str(_text(token)): int(number) for number, token in _entries(settings.get(_DECODER)) if number.isdigit()
    }
    if not numbered:
        named |= read_json(path / _MAP) if (path / _MAP).is_file() else {}
        older = read_json(path / _ADDED) if (path / _ADDED).is_file() else {}
        numbered = {text: number for text, number in older.items() if type(number) is int}
    roles = {role: text for role, value in named.items() if _is_role(role) and (text := _text(value))}
    if not set(_NEEDED) <= set(named):
        roles = {role: text for role, text in _defaults(path, named).items() if role not in named} | roles
    others: list[str] = []
    for name in _LISTS:
        value = named.get(name)
        roles |= {role: text for role, token in _entries(value) if _is_role(role) and (text := _text(token))}
        others += [text for token in (value if isinstance(value, list) else ()) if (text := _text(token))]
    return _Names(roles, tuple(dict.fromkeys(others)), numbered, frozenset(named))


def _defaults(path: Path, settings: Mapping[str, Any]) -> dict[str, str]:
    """The roles that the class of the tokenizer has where its settings leave them out, as GPT-2's own do."""
    config = read_json(path / "config.json") if (path / "config.json").is_file() else {}
    name = settings.get("tokenizer_class") or config.get("tokenizer_class")
    if not name:
        # Its import brings torch, which takes seconds.
        from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING_NAMES

        name = TOKENIZER_MAPPING_NAMES.get(str(config.get("model_type")))
    kind = getattr(transformers, name, None) if isinstance(name, str) and name.isidentifier() else None
    if not (isinstance(kind, type) and issubclass(kind, PreTrainedTokenizerFast)):
        return {}
    parameters = signature(kind.__init__).parameters.items()  # type: ignore[misc]
    return {role: text for role, each in parameters if _is_role(role) and (text := _text(each.default))}


def _check_numbers(tokenizer: Any, names: _Names) -> None:
    for text, number in names.numbered.items():
        stored = tokenizer.backend_tokenizer.token_to_id(text)
        if stored != number:
            raise InvalidModelFile(
                f"The settings give the token {text[:60]!r} the id {number}, in tokenizer.json it has "
                + ("none." if stored is None else f"{stored}."),
                _SAVE_AGAIN,
                FILE,
            )


def _check_needed(tokenizer: Any, names: _Names) -> None:
    for role in _NEEDED:
        text = names.by_role.get(role)
        if text is not None and role in names.named and not _has(tokenizer, text):
            raise InvalidModelFile(
                f"The settings name {text[:60]!r} as {role}, which tokenizer.json does not hold.", _SAVE_AGAIN, FILE
            )


def _has(tokenizer: Any, text: str) -> bool:
    return tokenizer.backend_tokenizer.token_to_id(text) is not None


def _is_role(name: str) -> bool:
    standard = name in PreTrainedTokenizerFast.SPECIAL_TOKENS_ATTRIBUTES
    is_free = name.isidentifier() and not name.startswith("_") and not hasattr(PreTrainedTokenizerFast, name)
    return standard or (name.endswith("_token") and len(name) <= 64 and is_free)


def _text(value: object) -> str | None:
    content = value.get("content") if isinstance(value, dict) else value
    return content if isinstance(content, str) and content else None


def _entries(value: object) -> list[tuple[str, Any]]:
    return list(value.items()) if isinstance(value, dict) else []


def _described(settings: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    from tokenizers import AddedToken

    flags = ("lstrip", "rstrip", "single_word", "normalized", "special")
    for _, token in _entries(settings.get(_DECODER)):
        if isinstance(token, dict) and (text := _text(token)):
            yield text, repr(AddedToken(text, **{flag: bool(token.get(flag)) for flag in flags if flag in token}))


def _shown(texts: list[str]) -> str:
    shown = ", ".join(repr(text[:40]) for text in texts[:3])
    return shown + (f" and {len(texts) - 3} more" if len(texts) > 3 else "")
