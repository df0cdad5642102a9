"""What an edit would do to a file: values after the client's own decoding, and the resulting text."""

from __future__ import annotations

from services.protocols.javascript import trim
from services.protocols.roo.diff.apply import DiffOutcome, apply_diff
from services.protocols.roo.diff.line_numbers import all_numbered, strip_numbers

_ENTITIES = (
    ("&lt;", "<"),
    ("&gt;", ">"),
    ("&quot;", '"'),
    ("&#39;", "'"),
    ("&apos;", "'"),
    ("&#91;", "["),
    ("&#93;", "]"),
    ("&lsqb;", "["),
    ("&rsqb;", "]"),
    ("&amp;", "&"),
)
_FENCE = "```"
_KEEPS_ENTITIES = "claude"


def decoded(text: str) -> str:
    """Return `text` with the entities decoded that the client decodes in commands and edits."""
    if "&" in text:
        for entity, char in _ENTITIES:
            text = text.replace(entity, char)
    return text


def written_text(content: str, model_id: str = "") -> str:
    """Return the text that `write_to_file` writes for `content`."""
    if content.startswith(_FENCE):
        content = "\n".join(content.split("\n")[1:])
    if content.endswith(_FENCE):
        content = "\n".join(content.split("\n")[:-1])
    if _KEEPS_ENTITIES not in model_id:
        content = decoded(content)
    return strip_numbers(content) if content and all_numbered(content) else content


def diff_outcome(original: str, diff: str, model_id: str = "", *, measure: bool = False) -> DiffOutcome:
    """Return what `apply_diff` does to a file of text `original`."""
    value = trim(diff)
    if _KEEPS_ENTITIES not in model_id:
        value = decoded(value)
    return apply_diff(original, value, measure=measure)


def same_text(one: str, other: str) -> bool:
    """Return whether two file texts are equal but for the line break at the end."""
    return one == other or one.rstrip("\n") == other.rstrip("\n")
