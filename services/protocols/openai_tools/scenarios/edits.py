"""Edits of a document that the request shows: by a piece, and whole."""

from dataclasses import dataclass

from services.protocols.material.draw import Draw
from services.protocols.material.scenario import Build, Draft, Kind, Step, kinds_of
from services.protocols.openai_tools.scenarios.functions import EFFECTS
from services.protocols.openai_tools.scenarios.texts import Listing, fenced, listing


@dataclass(frozen=True, slots=True)
class Shelf:
    """One kind of documents: which functions work on it, and what its documents are called."""

    find: str
    read: str
    edit: str
    write: str
    names: str


NOTES = Shelf("search_notes", "read_note", "edit_note", "write_note", "note_name")
PAGES = Shelf("find_pages", "get_page", "replace_in_page", "publish_page", "page_title")


def edit(shelf: Shelf, name: str, before: str, old: str, new: str) -> Step:
    """Put `new` for the one place of `old`.

    Raises:
        ValueError: `old` does not stand in `before` exactly once.
    """
    if before.count(old) != 1:
        raise ValueError(f"{old!r} does not stand in the document once")
    names = EFFECTS[shelf.edit].arguments
    arguments = {names["path"]: name, names["old"]: old, names["new"]: new}
    return Step(shelf.edit, arguments, files={name: before.replace(old, new)})


def write(tool: str, name: str, text: str) -> Step:
    """Write a whole document."""
    names = EFFECTS[tool].arguments
    return Step(tool, {names["path"]: name, names["text"]: text}, files={name: text})


def others(shelf: Shelf, *used: str) -> tuple[str, ...]:
    """Return the functions of a shelf that a task of one answer does without."""
    return tuple(name for name in (shelf.find, shelf.read, shelf.edit, shelf.write) if name not in used)


def _edited(shelf: Shelf, drawn: Listing, step: Step, **slots: object) -> Draft:
    shown: dict[str, object] = {"name": drawn.name, "text": fenced(drawn.text), **slots}
    withheld = others(shelf, shelf.edit)
    return Draft(slots=shown, turns=((step,),), files={drawn.name: drawn.text}, withheld=withheld)


def value(shelf: Shelf) -> Build:
    """Another number in one line."""

    def build(draw: Draw) -> Draft:
        drawn = listing(draw, shelf.names)
        step = edit(shelf, drawn.name, drawn.text, drawn.line, f"{drawn.item}: {drawn.new}")
        return _edited(shelf, drawn, step, item=drawn.item, old=drawn.old, new=drawn.new)

    return build


def line(shelf: Shelf) -> Build:
    """Another line instead of one."""

    def build(draw: Draw) -> Draft:
        drawn, new = listing(draw, shelf.names), draw.word("remark")
        return _edited(shelf, drawn, edit(shelf, drawn.name, drawn.text, drawn.line, new), line=drawn.line, new=new)

    return build


def insert(shelf: Shelf) -> Build:
    """A line more, below another."""

    def build(draw: Draw) -> Draft:
        drawn, new = listing(draw, shelf.names), draw.word("remark")
        step = edit(shelf, drawn.name, drawn.text, drawn.line, f"{drawn.line}\n{new}")
        return _edited(shelf, drawn, step, line=drawn.line, new=new)

    return build


def remove(shelf: Shelf) -> Build:
    """A line less."""

    def build(draw: Draw) -> Draft:
        drawn = listing(draw, shelf.names)
        gone = f"\n{drawn.line}" if drawn.place else f"{drawn.line}\n"
        return _edited(shelf, drawn, edit(shelf, drawn.name, drawn.text, gone, ""), item=drawn.item)

    return build


def twin(shelf: Shelf) -> Build:
    """One of several equal lines, told apart by the heading above it."""

    def build(draw: Draw) -> Draft:
        headings, item = draw.several("city", 3), draw.word("item")
        old, new = draw.random.sample(range(11, 99), 2)
        name, text = draw.word(shelf.names), "\n".join(f"{heading}\n{item}: {old}" for heading in headings)
        heading = draw.pick(headings)
        step = edit(shelf, name, text, f"{heading}\n{item}: {old}", f"{heading}\n{item}: {new}")
        slots = {"name": name, "text": fenced(text), "heading": heading, "item": item, "new": new}
        return Draft(slots=slots, turns=((step,),), files={name: text}, withheld=others(shelf, shelf.edit))

    return build


EDITS = {"value": value, "line": line, "insert": insert, "remove": remove, "twin": twin}
EDIT_BY_DIFF = {
    f"{name}_{place}": Kind(make(shelf), ("edit_by_diff", f"{name}_{place}"))
    for place, shelf in (("note", NOTES), ("page", PAGES))
    for name, make in EDITS.items()
}


def dictated(tool: str, names: str) -> Build:
    """A document that the request dictates line by line."""

    def build(draw: Draw) -> Draft:
        name, text = draw.word(names), "\n".join(draw.several("remark", 3))
        slots = {"name": name, "text": fenced(text)}
        return Draft(
            slots=slots,
            turns=((write(tool, name, text),),),
            withheld=tuple(
                name for shelf in (NOTES, PAGES) for name in others(shelf, tool) if tool in (shelf.edit, shelf.write)
            ),
        )

    return build


def snippet(draw: Draw) -> Draft:
    """A piece of code that the request dictates."""
    name, code = draw.word("code_file"), draw.word("code")
    return Draft(slots={"name": name, "text": fenced(code)}, turns=((write("save_snippet", name, code),),))


def rewrite(draw: Draw) -> Draft:
    """A note that is to hold one of its lines only."""
    drawn = listing(draw, NOTES.names)
    step = write(NOTES.write, drawn.name, drawn.line)
    slots = {"name": drawn.name, "text": fenced(drawn.text), "item": drawn.item}
    return Draft(slots=slots, turns=((step,),), files={drawn.name: drawn.text}, withheld=others(NOTES, NOTES.write))


def copied(draw: Draw) -> Draft:
    """A page under a second title."""
    drawn = listing(draw, PAGES.names)
    while (name := draw.word(PAGES.names)) == drawn.name:
        pass
    step = write(PAGES.write, name, drawn.text)
    slots = {"name": drawn.name, "text": fenced(drawn.text), "name2": name}
    return Draft(slots=slots, turns=((step,),), files={drawn.name: drawn.text}, withheld=others(PAGES, PAGES.write))


WHOLE_FILE = kinds_of(
    "whole_file",
    {
        "note": dictated(NOTES.write, NOTES.names),
        "page": dictated(PAGES.write, PAGES.names),
        "snippet": snippet,
        "rewrite": rewrite,
        "copied": copied,
    },
)
