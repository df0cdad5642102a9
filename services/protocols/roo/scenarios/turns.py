"""Tasks of several answers: search, read and edit; checklists; servers."""

from __future__ import annotations

import json
from collections.abc import Sequence

from services.protocols.cases import Goal, McpServer
from services.protocols.material.draw import Draw
from services.protocols.material.scenario import Draft, Kind, kinds_of, one_by_one
from services.protocols.roo.checklist import Item, Status
from services.protocols.roo.scenarios.calls import mcp_two
from services.protocols.roo.scenarios.edits import snippet
from services.protocols.roo.scenarios.steps import (
    checklist,
    command,
    complete,
    diff,
    list_files,
    mcp,
    read,
    search,
    write,
)
from services.protocols.roo.scenarios.talk import identifier, renamed_text


def _others(draw: Draw, folder: str, path: str) -> dict[str, str]:
    found = {drawn.path: drawn.text for drawn in (snippet(draw, folder) for _ in range(2))}
    return {other: text for other, text in found.items() if other != path}


def search_first(draw: Draw) -> Draft:
    """Search, read, change, complete."""
    folder = draw.word("folder")
    drawn = snippet(draw, folder)
    name = identifier(drawn.change.old[0])
    edit = diff(drawn.path, drawn.text, drawn.change)
    files = {**_others(draw, folder, drawn.path), drawn.path: drawn.text}
    done = complete(draw.sentence("result_edit", it=drawn.path), drawn.path)
    return Draft(
        slots={"folder": folder, "ident": name, "old": drawn.old, "new": drawn.new},
        turns=one_by_one(search(folder, name), read(drawn.path), edit, done),
        files=files,
        workspace=tuple(sorted(files)),
        goal=Goal(edit.files, (drawn.path,), ("search_files", "read_file")),
    )


def tested(draw: Draw) -> Draft:
    """Search, read, change, run the tests, complete."""
    folder, line, passed = draw.word("folder"), draw.word("test_command"), str(draw.number(3, 90))
    drawn = snippet(draw, folder)
    name = identifier(drawn.change.old[0])
    edit = diff(drawn.path, drawn.text, drawn.change)
    done = complete(draw.sentence("result_tested", it=drawn.path, there=passed), drawn.path, passed)
    return Draft(
        slots={"folder": folder, "ident": name, "new": drawn.new, "command": line},
        turns=one_by_one(search(folder, name), read(drawn.path), edit, command(line), done),
        files={drawn.path: drawn.text},
        workspace=(drawn.path,),
        goal=Goal(edit.files, (drawn.path, passed), ("search_files", "read_file", "execute_command")),
        results={"execute_command": f"{passed} passed"},
    )


def read_first(draw: Draw) -> Draft:
    """Read, change, complete."""
    drawn = snippet(draw)
    edit = diff(drawn.path, drawn.text, drawn.change)
    done = complete(draw.sentence("result_edit", it=drawn.path), drawn.path)
    return Draft(
        slots={"path": drawn.path, "ident": identifier(drawn.change.old[0]), "new": drawn.new},
        turns=one_by_one(read(drawn.path), edit, done),
        files={drawn.path: drawn.text},
        workspace=(drawn.path,),
        goal=Goal(edit.files, (drawn.path,), ("read_file",)),
    )


def list_first(draw: Draw) -> Draft:
    """List, read, write what was found, complete."""
    folder, target = draw.word("folder"), renamed_text(draw)
    drawn = snippet(draw, folder)
    done = complete(draw.sentence("result_written", it=target), target)
    return Draft(
        slots={"folder": folder, "ident": identifier(drawn.change.old[0]), "path": target},
        turns=one_by_one(list_files(folder), read(drawn.path), write(target, drawn.old), done),
        files={drawn.path: drawn.text},
        goal=Goal({target: drawn.old}, (target,), ("list_files", "read_file")),
    )


SEARCH_READ_EDIT = kinds_of(
    "search_read_edit",
    {
        "search_first": search_first,
        "tested": tested,
        "read_first": read_first,
        "list_first": list_first,
    },
)


def _progress(jobs: Sequence[str], done: int) -> list[Item]:
    states: list[Status] = ["completed" if place < done else "pending" for place in range(len(jobs))]
    if done < len(jobs):
        states[done] = "in_progress"
    return list(zip(states, jobs, strict=True))


def write_all(draw: Draw) -> Draft:
    """Two or three files, one after the other, the list kept up to date."""
    paths = list(dict.fromkeys(renamed_text(draw) for _ in range(draw.number(2, 3))))
    contents = [draw.piece("singles")["lines"] for _ in paths]
    jobs = [draw.sentence("item_write", it=path) for path in paths]
    steps = [checklist(_progress(jobs, 0))]
    for done, (path, content) in enumerate(zip(paths, contents, strict=True), start=1):
        steps += [write(path, content), checklist(_progress(jobs, done))]
    steps.append(complete(draw.sentence("result_written", it=paths[-1]), paths[-1]))
    shown = "\n".join(f"- {job}: `{content}`" for job, content in zip(jobs, contents, strict=True))
    return Draft(
        slots={"items": shown, "path": paths[-1]},
        turns=one_by_one(*steps),
        goal=Goal(
            dict(zip(paths, contents, strict=True)),
            (paths[-1],),
            ("update_todo_list",),
            _finished(jobs),
            todo_files=dict(zip(jobs, paths, strict=True)),
        ),
    )


def resume(draw: Draw) -> Draft:
    """A list that is half done: do the rest, mark it, complete."""
    drawn, first = snippet(draw), draw.word("job")
    jobs = [first, draw.sentence("item_edit", it=drawn.path, there=drawn.new)]
    edit = diff(drawn.path, drawn.text, drawn.change)
    done = complete(draw.sentence("result_edit", it=drawn.path), drawn.path)
    return Draft(
        slots={"ident": identifier(drawn.change.old[0]), "line": str(drawn.line), "path": drawn.path},
        turns=one_by_one(read(drawn.path), edit, checklist(_progress(jobs, 2)), done),
        files={drawn.path: drawn.text},
        workspace=(drawn.path,),
        todos=tuple(_progress(jobs, 1)),
        goal=Goal(edit.files, (drawn.path,), ("update_todo_list",), _finished(jobs), todo_files={jobs[1]: drawn.path}),
    )


def _finished(jobs: Sequence[str]) -> tuple[tuple[str, str], ...]:
    return tuple(("completed", job) for job in jobs)


TODO_TURNS = {name: Kind(build, ("todo_turns", name)) for name, build in (("write_all", write_all), ("resume", resume))}


def nested(draw: Draw) -> Draft:
    """Arguments with a list and an object in them, dictated as JSON."""
    draft = mcp_two(draw)
    given = draft.steps[0].arguments
    arguments = {
        draw.word("key"): draw.word("value"),
        draw.word("list_key"): draw.several("stem", 2),
        draw.word("object_key"): {draw.word("count_key"): draw.number(), draw.word("flag"): bool(draw.number(0, 1))},
    }
    server, tool = str(given["server_name"]), str(given["tool_name"])
    slots = {"server": server, "tool": tool, "arguments": json.dumps(arguments, ensure_ascii=False)}
    return Draft(slots=slots, turns=((mcp(server, tool, arguments),),), mode=draft.mode, mcp=draft.mcp)


def store_answer(draw: Draw) -> Draft:
    """What a server answers, written into a file."""
    server, tool, key, value = (draw.word(name) for name in ("server", "server_tool", "key", "value"))
    path, content = renamed_text(draw), draw.piece("singles")["lines"]
    done = complete(draw.sentence("result_written", it=path), path)
    return Draft(
        slots={"server": server, "tool": tool, "key": key, "value": value, "path": path},
        turns=one_by_one(mcp(server, tool, {key: value}), write(path, content), done),
        mcp=(McpServer(server, (tool,)),),
        goal=Goal({path: content}, (path,), ("use_mcp_tool",)),
        results={"use_mcp_tool": content},
    )


MCP = {
    name: Kind(build, ("mcp", name)) for name, build in (("two", mcp_two), ("nested", nested), ("store", store_answer))
}
