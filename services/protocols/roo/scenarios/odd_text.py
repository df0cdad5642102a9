"""Text that a careless writer breaks: other scripts, CRLF, entities, markers, quotes."""

from services.protocols.material.draw import Draw
from services.protocols.material.scenario import Draft, Kind
from services.protocols.roo.scenarios.edits import renamed, snippet
from services.protocols.roo.scenarios.steps import Change, command, diff, write


def _written(draw: Draw, extension: str, *lines: str) -> Draft:
    path, content = renamed(draw.word("path"), extension), "\n".join(lines)
    return Draft(slots={"path": path, "content": content}, turns=((write(path, content),),))


def unicode_file(draw: Draw) -> Draft:
    """Words of other scripts, signs outside the basic plane, combining marks."""
    words = draw.several("odd", 3)
    return _written(draw, "txt", *(f"{draw.word('stem')}: {word}" for word in words))


def typography(draw: Draw) -> Draft:
    """A line with curly quotes and dashes, of which only the number changes."""
    words, (old, new) = draw.several("stem", 4), draw.several("quantity", 2)
    lines = [f"{draw.pick(words)} – “{word}” … {draw.number()}" for word in words]
    place = draw.number(0, len(lines) - 1)
    shown = lines[place].rpartition(" ")[0]
    lines[place] = f"{shown} {old}"
    path = renamed(draw.word("path"), "txt")
    step = diff(path, "\n".join(lines), Change(place + 1, [lines[place]], [f"{shown} {new}"]))
    slots = {"path": path, "line": str(place + 1), "old": lines[place], "new": f"{shown} {new}"}
    return Draft(slots=slots, turns=((step,),), files={path: "\n".join(lines)})


def crlf(draw: Draw) -> Draft:
    """A file with CRLF at its line ends, which stay."""
    drawn = snippet(draw)
    text, change = drawn.text.replace("\n", "\r\n"), drawn.change
    slots = {"path": drawn.path, "line": str(drawn.line), "old": change.old[0].strip(), "new": change.new[0].strip()}
    return Draft(slots=slots, turns=((diff(drawn.path, text, change),),), files={drawn.path: text})


def conflict(draw: Draw) -> Draft:
    """A merge conflict, whose markers look like those of a diff and must be escaped in it."""
    stem, branch, (ours, theirs) = draw.word("stem"), draw.word("ident"), draw.several("quantity", 2)
    marked = ["<<<<<<< HEAD", f"{stem} = {ours}", "=======", f"{stem} = {theirs}", f">>>>>>> {branch}"]
    above = [f"{draw.word('ident')} = {draw.number()}" for _ in range(draw.number(0, 4))]
    text, first = "\n".join((*above, *marked, f"# {draw.word('part')}")), len(above) + 1
    path = renamed(draw.word("path"), "cfg")
    kept = draw.pick((ours, theirs))
    step = diff(path, text, Change(first, marked, [f"{stem} = {kept}"]))
    return Draft(slots={"path": path, "new": f"{stem} = {kept}"}, turns=((step,),), files={path: text})


def underline(draw: Draw) -> Draft:
    """A heading whose underline looks like the separator of a diff."""
    title, other = (draw.word("stem")[:7].capitalize() for _ in range(2))
    while other == title:
        other = draw.word("part")[:7].capitalize()
    body = [f"{draw.word('part')} {draw.number()}" for _ in range(draw.number(1, 3))]
    lines = [title, "=======", "", *body]
    path = renamed(draw.word("path"), "md")
    step = diff(path, "\n".join(lines), Change(1, lines[:2], [other, "======="]))
    slots = {"path": path, "old": title, "new": other}
    return Draft(slots=slots, turns=((step,),), files={path: "\n".join(lines)})


def entities(draw: Draw) -> Draft:
    """Markup with entities, which the client would decode once."""
    one, two = draw.several("stem", 2)
    lines = (f"<p title=&quot;{one}&quot;>{one} &amp; {two}</p>", f"<b>{draw.number()} &lt; {draw.number()}</b>")
    return _written(draw, "html", *lines[: draw.number(1, 2)])


def tags(draw: Draw) -> Draft:
    """Markup whose tags look like those of a call."""
    stem, part = draw.word("stem"), draw.word("part")
    return _written(
        draw, "xml", f"<{stem}>", f"<path>{draw.number()}</path>", f"<content>{part}</content>", f"</{stem}>"
    )


def diff_in_file(draw: Draw) -> Draft:
    """A file that shows a diff; whole files need no escapes."""
    lines = ("<<<<<<< SEARCH", draw.word("ident"), "=======", draw.word("ident"), ">>>>>>> REPLACE")
    return _written(draw, "txt", *lines)


def escapes(draw: Draw) -> Draft:
    """Backslashes and quotes of both kinds."""
    path, stem = draw.word("path"), draw.word("stem")
    forms = (rf"""grep -n "it's \"{stem}\"" {path}""", rf"""sed -n 's/\t{stem}\\/x/p' {path}""")
    line = draw.pick((*forms, rf"""printf '%s\n' "C:\\{stem}\\{draw.number()}" """.rstrip()))
    return Draft(slots={"command": line}, turns=((command(line),),))


def tabs(draw: Draw) -> Draft:
    """Lines that begin with tabs."""
    stem, part = draw.word("stem"), draw.word("part")
    return _written(draw, "mk", f"{stem}: {part}", f"\t@echo {stem}", f"\t\t{draw.word('verb')} \\", f"\t-{part}")


_DICTATED = {
    "unicode_file": unicode_file,
    "entities": entities,
    "tags": tags,
    "diff_in_file": diff_in_file,
    "tabs": tabs,
}
_NAMED = {"typography": typography, "crlf": crlf, "conflict": conflict, "underline": underline, "escapes": escapes}

ODD_TEXT = {name: Kind(build, ("odd_text", "file")) for name, build in _DICTATED.items()} | {
    name: Kind(build, ("odd_text", name)) for name, build in _NAMED.items()
}
