"""Skills that look: read_file, search_files, list_files, fetch_instructions."""

from __future__ import annotations

from services.protocols.roo_xml.authoring.draft import Draft
from services.protocols.roo_xml.authoring.draw import Draw

_READING_MODES = ("code", "code", "debug", "ask", "architect")


def listing(draw: Draw, *paths: str) -> tuple[str, ...]:
    """Return a workspace listing that holds `paths` and two others."""
    return tuple(sorted({*paths, draw.word("path"), draw.word("path")}))


def _element(path: str, lines: str = "") -> str:
    extra = f"<line_range>{lines}</line_range>\n" if lines else ""
    return f"<file>\n<path>{path}</path>\n{extra}</file>"


def read_one(draw: Draw) -> Draft:
    """One file, named in the task."""
    path = draw.word("path")
    return Draft({"args": _element(path)}, {"path": path}, draw.pick(_READING_MODES), workspace=listing(draw, path))


def read_two(draw: Draw) -> Draft:
    """Two files in one call."""
    path, path2 = draw.several("path", 2)
    args = f"{_element(path)}\n{_element(path2)}"
    slots = {"path": path, "path2": path2}
    return Draft({"args": args}, slots, draw.pick(_READING_MODES), workspace=listing(draw, path, path2))


def read_lines(draw: Draw) -> Draft:
    """A range of lines."""
    path, first = draw.word("path"), draw.number(1, 180)
    last = first + draw.number(4, 60)
    slots = {"path": path, "first": str(first), "last": str(last)}
    args = _element(path, f"{first}-{last}")
    return Draft({"args": args}, slots, draw.pick(_READING_MODES), workspace=listing(draw, path))


def read_tab(draw: Draw) -> Draft:
    """The file that is open in the editor."""
    path = draw.word("path")
    return Draft(
        {"args": _element(path)}, {}, draw.pick(_READING_MODES), open_tabs=(path,), workspace=listing(draw, path)
    )


def _search(draw: Draw, folder: str, regex: str, pattern: str = "") -> dict[str, str]:
    params = {"path": folder, "regex": regex}
    return {**params, "file_pattern": pattern} if pattern else params


def search_word(draw: Draw) -> Draft:
    """An identifier in a folder."""
    folder, ident = draw.word("folder"), draw.word("ident")
    return Draft(_search(draw, folder, ident), {"folder": folder, "ident": ident}, draw.pick(_READING_MODES))


def search_typed(draw: Draw) -> Draft:
    """An identifier in the files of one kind."""
    folder, ident, glob = draw.word("folder"), draw.word("ident"), draw.word("glob")
    slots = {"folder": folder, "ident": ident, "glob": glob}
    return Draft(_search(draw, folder, ident, glob), slots, draw.pick(_READING_MODES))


def search_regex(draw: Draw) -> Draft:
    """A dictated regular expression."""
    folder, regex = draw.word("folder"), draw.word("regex")
    return Draft(_search(draw, folder, regex), {"folder": folder, "regex": regex}, draw.pick(_READING_MODES))


def _nested_path(draw: Draw) -> str:
    while "/" not in (path := draw.word("path")):
        pass
    return path


def search_tab(draw: Draw) -> Draft:
    """An identifier in the folder of the open file."""
    path, ident = _nested_path(draw), draw.word("ident")
    params = _search(draw, path.rpartition("/")[0], ident)
    return Draft(params, {"ident": ident}, draw.pick(_READING_MODES), open_tabs=(path,))


def _list(draw: Draw, recursive: str) -> Draft:
    folder = draw.word("folder")
    return Draft({"path": folder, "recursive": recursive}, {"folder": folder}, draw.pick(_READING_MODES))


def list_flat(draw: Draw) -> Draft:
    """The entries of a folder."""
    return _list(draw, "false")


def list_deep(draw: Draw) -> Draft:
    """A folder with all that is below it."""
    return _list(draw, "true")


def list_tab(draw: Draw) -> Draft:
    """The folder of the open file."""
    path = _nested_path(draw)
    params = {"path": path.rpartition("/")[0], "recursive": "false"}
    return Draft(params, {}, draw.pick(_READING_MODES), open_tabs=(path,))


def fetch_server(draw: Draw) -> Draft:
    """How an MCP server is made."""
    return Draft({"task": "create_mcp_server"}, {"service": draw.word("service")})


def fetch_mode(draw: Draw) -> Draft:
    """How a mode is made."""
    return Draft({"task": "create_mode"}, {"mode_name": draw.word("mode_name")})
