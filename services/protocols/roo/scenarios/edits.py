"""Edits of files: by diff, and whole."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from services.protocols.material.draw import Draw
from services.protocols.material.scenario import Draft, Kind, Step, kinds_of
from services.protocols.roo.scenarios.steps import NATIVE, Change, added, diff, patched, replaced, write

_EDITING_MODES = ("code", "code", "debug")


@dataclass(frozen=True, slots=True)
class Snippet:
    """A file with a number in it that is to become another.

    Attributes:
        line: number of the line, from 1.
    """

    path: str
    text: str
    line: int
    old: str
    new: str

    @property
    def change(self) -> Change:
        """The other number in the whole line."""
        before = self.text.split("\n")[self.line - 1]
        return Change(self.line, [before], [before.replace(self.old, self.new)])


def snippet(draw: Draw, folder: str = "") -> Snippet:
    """Draw a file, in `folder` if one is given."""
    piece = draw.piece("snippets")
    old, new = draw.several("quantity", 2)
    lines = piece["text"].split("\n")
    line = next(number for number, text in enumerate(lines, start=1) if "{old}" in text)
    path = f"{folder}/{draw.word('stem')}.{piece['ext']}" if folder else renamed(draw.word("path"), piece["ext"])
    while old == new or old in lines[line - 1]:
        old = f"{old}1"
    return Snippet(path, piece["text"].replace("{old}", old), line, old, new)


def renamed(path: str, extension: str) -> str:
    """Return `path` with another extension."""
    return f"{path.rpartition('.')[0]}.{extension}"


Edit = Callable[..., Step]
"""Makes the step of a file's path, its text and the changes to it."""


def two_places(draw: Draw, edit: Edit = diff) -> Draft:
    """Another number in one line, and another line removed, in one call."""
    drawn = snippet(draw)
    lines = drawn.text.split("\n")
    spare = [number for number, line in enumerate(lines, start=1) if line.strip() and number != drawn.line]
    gone = draw.pick(spare)
    changes = (drawn.change, Change(gone, [lines[gone - 1]], []))
    slots = {
        "path": drawn.path,
        "line": str(drawn.line),
        "old": drawn.change.old[0].strip(),
        "new": drawn.change.new[0].strip(),
        "line2": str(gone),
        "gone": lines[gone - 1].strip(),
    }
    step = edit(drawn.path, drawn.text, *sorted(changes, key=lambda change: change.first))
    return Draft(slots=slots, turns=((step,),), files={drawn.path: drawn.text})


def same_line(draw: Draw, edit: Edit = diff, *, num_above: int = 0) -> Draft:
    """One of several equal lines, told apart by what stands above it; the edit shows so many of the lines above."""
    names, (old, new), key = draw.several("stem", 5), draw.several("quantity", 2), draw.word("count_key")
    place = draw.number(0, len(names) - 1)
    lines = [line for name in names for line in (f"{name}:", f"  {key}: {old}")]
    path, number = renamed(draw.word("path"), "yaml"), place * 2 + 2
    slots = {"path": path, "item": names[place], "key": key, "old": old, "new": new}
    above = lines[number - 1 - num_above : number - 1]
    change = Change(number - num_above, [*above, lines[number - 1]], [*above, f"  {key}: {new}"])
    return Draft(slots=slots, turns=((edit(path, "\n".join(lines), change),),), files={path: "\n".join(lines)})


def block(draw: Draw) -> Draft:
    """Two lines replaced by a few dictated ones."""
    drawn, piece = snippet(draw), draw.piece("contents")
    lines, new = drawn.text.split("\n"), piece["lines"].split("\n")
    flush = [number for number, line in enumerate(lines[:-1], start=1) if line.strip() and line == line.lstrip()]
    first = draw.pick(flush)
    slots = {"path": drawn.path, "first": str(first), "last": str(first + 1), "content": piece["lines"]}
    change = Change(first, lines[first - 1 : first + 1], new)
    return Draft(slots=slots, turns=((diff(drawn.path, drawn.text, change),),), files={drawn.path: drawn.text})


def rewrite(draw: Draw) -> Draft:
    """A file that exists, written anew."""
    piece, old = draw.piece("contents"), draw.piece("contents")
    path = renamed(draw.word("path"), piece["ext"])
    slots = {"path": path, "content": piece["lines"]}
    return Draft(slots=slots, turns=((write(path, piece["lines"]),),), files={path: f"{old['lines']}\n{old['ext']}"})


def twin(draw: Draw) -> Draft:
    """A copy of a file that the prompt shows."""
    drawn = snippet(draw)
    while (path := renamed(draw.word("path"), drawn.path.rpartition(".")[2])) == drawn.path:
        pass
    slots = {"path": drawn.path, "path2": path}
    return Draft(slots=slots, turns=((write(path, drawn.text),),), files={drawn.path: drawn.text})


def value(draw: Draw, edit: Edit) -> Draft:
    """Another number in a line that the task quotes."""
    drawn = snippet(draw)
    old, new = (lines[0].strip() for lines in (drawn.change.old, drawn.change.new))
    slots = {"path": drawn.path, "line": str(drawn.line), "old": old, "new": new}
    step = edit(drawn.path, drawn.text, drawn.change)
    return Draft(slots=slots, turns=((step,),), files={drawn.path: drawn.text})


def diff_value(draw: Draw) -> Draft:
    """The same by diff, in one of the modes that edit."""
    return replace(value(draw, diff), mode=draw.pick(_EDITING_MODES))


def diff_line(*, inserts: bool) -> Callable[[Draw], Draft]:
    """Return what asks for a new line below an old one, or for a line less."""

    def build(draw: Draw) -> Draft:
        piece = draw.piece("texts")
        text, old, new = piece["text"].replace("{said}", draw.word("say")), piece["old_line"], piece["new_line"]
        path, number = renamed(draw.word("path"), piece["ext"]), text.split("\n").index(old) + 1
        step = diff(path, text, Change(number, [old], [old, new] if inserts else []))
        slots = {"path": path, "line": str(number), "old": old.strip(), "new": new.strip()}
        return Draft(slots=slots, turns=((step,),), files={path: text}, mode=draw.pick(_EDITING_MODES))

    return build


def write_piece(kind: str) -> Callable[[Draw], Draft]:
    """Return what asks for a small file, dictated line by line, of the pieces `kind`."""

    def build(draw: Draw) -> Draft:
        piece = draw.piece(kind)
        path = renamed(draw.word("path"), piece["ext"])
        slots, mode = {"path": path, "content": piece["lines"]}, draw.pick(_EDITING_MODES)
        return Draft(slots=slots, turns=((write(path, piece["lines"]),),), mode=mode)

    return build


write_block = write_piece("contents")


def write_note(draw: Draw) -> Draft:
    """A Markdown file in the mode that may edit nothing else."""
    path, content = draw.word("note"), draw.piece("notes")["lines"]
    return Draft(slots={"path": path, "content": content}, turns=((write(path, content),),), mode="architect")


def new_file(draw: Draw, make: Callable[[str, str], Step]) -> Draft:
    """A small file, dictated line by line."""
    piece = draw.piece("contents")
    path = renamed(draw.word("path"), piece["ext"])
    return Draft(slots={"path": path, "content": piece["lines"]}, turns=((make(path, piece["lines"]),),))


def _created(path: str, text: str) -> Step:
    return Step("edit_file", {"file_path": path, "old_string": "", "new_string": text}, files={path: text})


def only_by(tool: str, build: Callable[[Draw], Draft]) -> Callable[[Draw], Draft]:
    """Return what draws the task of `build` for a model whose settings have `tool` for its only editing tool."""

    def drawn(draw: Draw) -> Draft:
        return replace(build(draw), included_tools=(tool,), excluded_tools=_USUAL)

    return drawn


_USUAL = ("apply_diff", "write_to_file")

OPT_IN_EDITS = {
    "edit": Kind(only_by("edit", partial(value, edit=partial(replaced, "edit"))), ("edit_by_diff", "value"), NATIVE),
    **{
        tool: Kind(
            only_by(tool, partial(same_line, edit=partial(replaced, tool))), ("edit_by_diff", "same_line"), NATIVE
        )
        for tool in ("search_replace", "edit_file")
    },
    "apply_patch": Kind(
        only_by("apply_patch", partial(two_places, edit=patched)), ("edit_by_diff", "two_places"), NATIVE
    ),
}
"""Changes of a file by the tools that a model's settings bring in."""

_OPT_IN_FILES = {
    "edit_file": only_by("edit_file", partial(new_file, make=_created)),
    "apply_patch": only_by("apply_patch", partial(new_file, make=added)),
}

EDIT_BY_DIFF = (
    kinds_of(
        "edit_by_diff",
        {
            "value": diff_value,
            "insert": diff_line(inserts=True),
            "delete": diff_line(inserts=False),
            "two_places": two_places,
        },
    )
    | {
        "same_line": Kind(same_line, ("edit_by_diff", "same_line"), stock="suite"),
        "same_named": Kind(partial(same_line, num_above=1), ("edit_by_diff", "same_line"), stock="pool"),
        "block": Kind(block, ("edit_by_diff", "block")),
    }
    | OPT_IN_EDITS
)

WHOLE_FILE = kinds_of(
    "whole_file",
    {"block": write_block, "line": write_piece("singles"), "note": write_note, "rewrite": rewrite, "twin": twin},
) | {name: Kind(build, ("whole_file", "block"), NATIVE) for name, build in _OPT_IN_FILES.items()}
