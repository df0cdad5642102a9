"""Paths, texts of files and values in the forms in which the client works with them and in which they are compared."""

from collections.abc import Callable, Iterable

from services.protocols.javascript.text import trim
from services.protocols.roo.diff.blocks import all_numbered, strip_numbers


def same_path(path: str) -> str:
    """Return `path` in the one spelling that all its spellings share: no `./`, no double or final slash."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == ".." and parts and parts[-1] != "..":
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return ("/" if path.startswith("/") else "") + "/".join(parts) or "."


def is_outside(path: str) -> bool:
    """Return whether `path`, in the spelling of `same_path`, leaves the workspace."""
    return path.startswith(("/", "../")) or path == ".."


def is_folder(path: str, paths: Iterable[str]) -> bool:
    """Return whether `path`, in the spelling of `same_path`, is the workspace or holds one of the `known` paths."""
    if path == ".":
        return True
    inside = f"{path}/"
    return any(other.startswith(inside) for other in paths)


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


def decoded_for(model_id: str, text: str) -> str:
    """Return `text` decoded, or as it is where the client takes the model's edits literally."""
    return text if _KEEPS_ENTITIES in model_id else decoded(text)


def written_text(content: str, model_id: str = "") -> str:
    """Return the text that `write_to_file` writes for `content`."""
    if content.startswith(_FENCE):
        content = "\n".join(content.split("\n")[1:])
    if content.endswith(_FENCE):
        content = "\n".join(content.split("\n")[:-1])
    content = decoded_for(model_id, content)
    return strip_numbers(content) if content and all_numbered(content) else content


Normal = Callable[[object], object]


def trimmed(value: object) -> object:
    """Return a text without blanks around it, and anything else as it is."""
    return trim(value) if isinstance(value, str) else value


def plain_path(value: object) -> object:
    """Return a path in the one spelling that all its spellings share."""
    return same_path(trim(value)) if isinstance(value, str) else value


def plain_command(value: object) -> object:
    """Return a command as the client decodes it."""
    return trim(decoded(value)) if isinstance(value, str) else value


def defaulted(default: object, normal: Normal = trimmed) -> Normal:
    """Return a normal form that takes an absent or empty value for `default`."""
    return lambda value: normal(default if value in (None, "") else value)
