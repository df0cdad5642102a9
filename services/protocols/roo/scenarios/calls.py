"""Tasks of one call that look around or act outside the files."""

from collections.abc import Callable
from dataclasses import replace

from services.protocols.cases import McpServer
from services.protocols.material.draw import Draw
from services.protocols.material.scenario import Draft, Step
from services.protocols.roo.scenarios.steps import mcp, read, whole_word

_READING_MODES = ("code", "code", "debug", "ask", "architect")
_COMMAND_MODES = ("code", "code", "debug")
_MCP_MODES = ("code", "debug", "ask", "architect")


def listing(draw: Draw, *paths: str) -> tuple[str, ...]:
    """Return a workspace listing that holds `paths` and two others."""
    return tuple(sorted({*paths, draw.word("path"), draw.word("path")}))


def read_one(draw: Draw) -> Draft:
    """One file, named in the task."""
    path = draw.word("path")
    turns = ((read(path),),)
    return Draft(slots={"path": path}, turns=turns, mode=draw.pick(_READING_MODES), workspace=listing(draw, path))


def read_two(draw: Draw) -> Draft:
    """Two files in one call."""
    paths = draw.several("path", 2)
    slots = dict(zip(("path", "path2"), paths, strict=True))
    mode = draw.pick(_READING_MODES)
    return Draft(slots=slots, turns=((read(*paths),),), mode=mode, workspace=listing(draw, *paths))


def read_lines(draw: Draw) -> Draft:
    """A range of lines."""
    path, first = draw.word("path"), draw.number(1, 180)
    last = first + draw.number(4, 60)
    slots = {"path": path, "first": str(first), "last": str(last)}
    turns = ((read(path, lines=(first, last)),),)
    return Draft(slots=slots, turns=turns, mode=draw.pick(_READING_MODES), workspace=listing(draw, path))


def read_tab(draw: Draw) -> Draft:
    """The file that is open in the editor."""
    path = draw.word("path")
    mode = draw.pick(_READING_MODES)
    return Draft(slots={}, turns=((read(path),),), mode=mode, open_tabs=(path,), workspace=listing(draw, path))


def _search(draw: Draw, slots: dict[str, str], folder: str, regex: str, **pattern: str) -> Draft:
    step = Step("search_files", {"path": folder, "regex": regex, **pattern})
    return Draft(slots=slots, turns=((step,),), mode=draw.pick(_READING_MODES))


def search_word(draw: Draw) -> Draft:
    """An identifier in a folder."""
    folder, ident = draw.word("folder"), draw.word("ident")
    return _search(draw, {"folder": folder, "ident": ident}, folder, ident)


def search_name(draw: Draw) -> Draft:
    """A search for a name, where the person does not say how to search."""
    draft = search_word(draw)
    (step,) = draft.steps
    return replace(draft, turns=((replace(step, choices=(whole_word(str(draft.slots["ident"])),)),),))


def search_typed(draw: Draw) -> Draft:
    """An identifier in the files of one kind."""
    folder, ident, glob = draw.word("folder"), draw.word("ident"), draw.word("glob")
    return _search(draw, {"folder": folder, "ident": ident, "glob": glob}, folder, ident, file_pattern=glob)


def search_regex(draw: Draw) -> Draft:
    """A dictated regular expression."""
    folder, regex = draw.word("folder"), draw.word("regex")
    return _search(draw, {"folder": folder, "regex": regex}, folder, regex)


def _nested_path(draw: Draw) -> str:
    while "/" not in (path := draw.word("path")):
        pass
    return path


def search_tab(draw: Draw) -> Draft:
    """An identifier in the folder of the open file."""
    path, ident = _nested_path(draw), draw.word("ident")
    return replace(_search(draw, {"ident": ident}, path.rpartition("/")[0], ident), open_tabs=(path,))


def _list(draw: Draw, folder: str, *, deep: bool = False) -> Draft:
    step = Step("list_files", {"path": folder, "recursive": deep})
    return Draft(slots={"folder": folder}, turns=((step,),), mode=draw.pick(_READING_MODES))


def list_flat(draw: Draw) -> Draft:
    """The entries of a folder."""
    return _list(draw, draw.word("folder"))


def list_deep(draw: Draw) -> Draft:
    """A folder with all that is below it."""
    return _list(draw, draw.word("folder"), deep=True)


def list_tab(draw: Draw) -> Draft:
    """The folder of the open file."""
    path = _nested_path(draw)
    return replace(_list(draw, path.rpartition("/")[0]), open_tabs=(path,))


def fetch(task: str, slot: str) -> Callable[[Draw], Draft]:
    """Return what asks for the instructions of a task, for something of the words `slot`."""
    turns = ((Step("fetch_instructions", {"task": task}),),)
    return lambda draw: Draft(slots={slot: draw.word(slot)}, turns=turns)


def run_command(draw: Draw) -> Draft:
    """A dictated command."""
    line = draw.word("command")
    turns = ((Step("execute_command", {"command": line}),),)
    return Draft(slots={"command": line}, turns=turns, mode=draw.pick(_COMMAND_MODES))


def run_in_folder(draw: Draw) -> Draft:
    """A dictated command in a folder."""
    line, folder = draw.word("command"), draw.word("folder")
    turns = ((Step("execute_command", {"command": line, "cwd": folder}),),)
    return Draft(slots={"command": line, "folder": folder}, turns=turns, mode=draw.pick(_COMMAND_MODES))


def run_tab(draw: Draw) -> Draft:
    """The script that is open in the editor."""
    path = draw.word("script")
    turns = ((Step("execute_command", {"command": f"bash {path}"}),),)
    mode = draw.pick(_COMMAND_MODES)
    return Draft(slots={}, turns=turns, mode=mode, open_tabs=(path,), workspace=listing(draw, path))


def _servers(draw: Draw, server: str, tool: str) -> tuple[McpServer, ...]:
    """Return `server` with `tool` and another server without it, in random order."""
    while (other := draw.word("server")) == server:
        pass
    spare = [name for name in draw.several("server_tool", 3) if name != tool]
    tools = (tool, spare[0]) if draw.number(0, 1) else (spare[0], tool)
    servers = (McpServer(server, tools), McpServer(other, (spare[1],)))
    return servers if draw.number(0, 1) else servers[::-1]


def _mcp(draw: Draw, extra: dict[str, object], slots: dict[str, str]) -> Draft:
    server, tool = draw.word("server"), draw.word("server_tool")
    key, value = draw.word("key"), draw.word("value")
    return Draft(
        slots={"server": server, "tool": tool, "key": key, "value": value, **slots},
        turns=((mcp(server, tool, {key: value, **extra}),),),
        mode=draw.pick(_MCP_MODES),
        mcp=_servers(draw, server, tool),
    )


def mcp_one(draw: Draw) -> Draft:
    """A tool of a named server with one argument."""
    return _mcp(draw, {}, {})


def mcp_two(draw: Draw) -> Draft:
    """A tool of a named server with a text and a number."""
    key, number = draw.word("count_key"), draw.number(2, 60)
    return _mcp(draw, {key: number}, {"key2": key, "number": str(number)})
