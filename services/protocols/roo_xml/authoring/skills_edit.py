"""Skills that change files: write_to_file and apply_diff."""

from __future__ import annotations

from services.protocols.roo_xml.authoring.draft import Draft
from services.protocols.roo_xml.authoring.draw import Draw

_EDITING_MODES = ("code", "code", "debug")


def _path(draw: Draw, extension: str) -> str:
    stem = draw.word("path").rpartition(".")[0]
    return f"{stem}.{extension}"


def _write(draw: Draw, path: str, content: str, mode: str) -> Draft:
    slots = {"path": path, "content": content}
    return Draft({"path": path, "content": content}, slots, mode, result={path: content})


def write_block(draw: Draw) -> Draft:
    """A small file, dictated line by line."""
    piece = draw.piece("contents")
    return _write(draw, _path(draw, piece["ext"]), piece["lines"], draw.pick(_EDITING_MODES))


def write_line(draw: Draw) -> Draft:
    """A file of one line."""
    piece = draw.piece("singles")
    return _write(draw, _path(draw, piece["ext"]), piece["lines"], draw.pick(_EDITING_MODES))


def write_note(draw: Draw) -> Draft:
    """A Markdown file in the mode that may edit nothing else."""
    return _write(draw, draw.word("note"), draw.piece("notes")["lines"], "architect")


def _diff(start: int, old: str, new: str) -> str:
    replacement = f"{new}\n" if new else ""
    return f"<<<<<<< SEARCH\n:start_line:{start}\n-------\n{old}\n=======\n{replacement}>>>>>>> REPLACE"


def _change(path: str, text: str, old: str, new: str, slots: dict[str, str], mode: str) -> Draft:
    """Return the draft that replaces the only line `old` of `text` by `new`; no text deletes it."""
    lines = text.split("\n")
    place = lines.index(old)
    changed = "\n".join([*lines[:place], *([new] if new else []), *lines[place + 1 :]])
    params = {"path": path, "diff": _diff(place + 1, old, new)}
    slots = {"path": path, "line": str(place + 1), **slots}
    return Draft(params, slots, mode, {path: text}, {path: changed})


def _new_number(draw: Draw) -> tuple[str, str, str, str]:
    """Return a path, its text, and one of its lines before and after another number."""
    piece = draw.piece("snippets")
    old, new = draw.several("quantity", 2)
    line = next(line for line in piece["text"].split("\n") if "{old}" in line)
    text = piece["text"].replace("{old}", old)
    return _path(draw, piece["ext"]), text, line.replace("{old}", old), line.replace("{old}", new)


def diff_value(draw: Draw) -> Draft:
    """Another number in a line that the task quotes."""
    path, text, old, new = _new_number(draw)
    return _change(path, text, old, new, {"old": old.strip(), "new": new.strip()}, draw.pick(_EDITING_MODES))


def diff_text(draw: Draw) -> Draft:
    """Another line in place of one that the task names by its number."""
    path, text, old, new = _new_number(draw)
    return _change(path, text, old, new, {"new": new.strip()}, draw.pick(_EDITING_MODES))


def _with_line(draw: Draw) -> tuple[str, str, str, str]:
    """Return a path, its text, and an old and a new line for it."""
    piece = draw.piece("texts")
    text = piece["text"].replace("{said}", draw.word("say"))
    return _path(draw, piece["ext"]), text, piece["old_line"], piece["new_line"]


def diff_insert(draw: Draw) -> Draft:
    """A new line below an old one."""
    path, text, old, new = _with_line(draw)
    slots = {"old": old.strip(), "new": new.strip()}
    return _change(path, text, old, f"{old}\n{new}", slots, draw.pick(_EDITING_MODES))


def diff_delete(draw: Draw) -> Draft:
    """A line less."""
    path, text, old, _ = _with_line(draw)
    return _change(path, text, old, "", {"old": old.strip()}, draw.pick(_EDITING_MODES))
