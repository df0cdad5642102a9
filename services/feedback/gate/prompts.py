"""Bytes first: whether a form reads what the version read, and what kind of thing differs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from services.feedback.gate.rows import GateRow

_AROUND = 40
# Tokens that stand for no text of a message: "<s>", "<|im_start|>", "[INST]", "<end_of_turn>".
_SPECIAL = re.compile(r"(?:<[^<>\s]{1,40}>|\[/?[A-Z_]{1,30}\]|\s)+")
# How Go prints a value that a template did not write out.
_GO = re.compile(r"\{(?:function|object)\b|map\[|&\{|0xc0[0-9a-f]{6,}")


@dataclass(frozen=True)
class RenderedPrompt:
    """What a model reads: the text, and its token ids."""

    text: str
    token_ids: tuple[int, ...]


def prompt_difference(row: GateRow, version: RenderedPrompt, form: RenderedPrompt) -> str:
    """Return what differs between two renderings of a row, its class in front; nothing where they are equal."""
    if version.token_ids == form.token_ids:
        return ""
    # A server may leave out a first token that it adds again when it encodes.
    if form.text and version.text.endswith(form.text) and _is_special(version.text.removesuffix(form.text)):
        return f"special tokens: {row.name}: the same text becomes other tokens: {_ids(version, form)}."
    if not form.text:
        return f"template: {row.name}: the server tells no text, and its tokens differ: {_ids(version, form)}."
    removed, added, start = _changed(version.text, form.text)
    kind = _kind(row, version, form, removed, added, start)
    return f"{kind}: {row.name}: {removed[:_AROUND]!r} became {added[:_AROUND]!r} at character {start}."


def _kind(row: GateRow, version: RenderedPrompt, form: RenderedPrompt, removed: str, added: str, start: int) -> str:
    if _is_special(removed) and _is_special(added):
        return "special tokens"
    words = row.function_words
    if any(word in version.text and word not in form.text for word in words):
        return "template"
    if words and (_GO.search(form.text) or any(word in removed or word in added for word in words)):
        return "function text"
    first = str(row.messages[0].get("content") or "")
    is_before = start <= version.text.find(first) and first in form.text
    if added.strip() and not row.has_system and is_before:
        return "system injected"
    return "template"


def _changed(before: str, after: str) -> tuple[str, str, int]:
    """Return what was taken out, what was put in, and where."""
    start = _num_equal(before, after)
    tail = _num_equal(before[start:][::-1], after[start:][::-1])
    return before[start : len(before) - tail], after[start : len(after) - tail], start


def _num_equal(one: str, other: str) -> int:
    """Return how many characters two texts begin with in common."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (left, right) in pairs if left != right), min(len(one), len(other)))


def _is_special(text: str) -> bool:
    return not text or bool(_SPECIAL.fullmatch(text))


def _ids(version: RenderedPrompt, form: RenderedPrompt) -> str:
    pairs: Sequence[tuple[int, int]] = list(zip(version.token_ids, form.token_ids, strict=False))
    place = next((place for place, (one, other) in enumerate(pairs) if one != other), len(pairs))
    window = slice(max(0, place - 1), place + 5)
    return f"{list(version.token_ids[window])} became {list(form.token_ids[window])} at token {place}"
