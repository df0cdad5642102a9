"""Tasks of several answers: search, read and edit; checklists; servers."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from services.protocols.cases import Goal, McpServer
from services.protocols.material.draw import Draw
from services.protocols.material.scenario import Draft, Kind, Said, Step, kinds_of, one_by_one
from services.protocols.roo.checklist import Item, Status
from services.protocols.roo.scenarios.calls import mcp_two
from services.protocols.roo.scenarios.edits import Snippet, snippet
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
    {"search_first": search_first, "tested": tested, "read_first": read_first, "list_first": list_first},
)


def _progress(jobs: Sequence[str], done: int) -> list[Item]:
    states: list[Status] = ["completed" if place < done else "pending" for place in range(len(jobs))]
    if done < len(jobs):
        states[done] = "in_progress"
    return list(zip(states, jobs, strict=True))


def write_all(draw: Draw, most: int = 3) -> Draft:
    """Two or more files, one after the other, the list kept up to date."""
    paths = list(dict.fromkeys(renamed_text(draw) for _ in range(draw.number(2, most))))
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
    return _resumed(draw, drawn, jobs, 1)


def resume_any(draw: Draw) -> Draft:
    """A list of two to five points, one of which, at any place, is left."""
    drawn, jobs = snippet(draw), draw.several("job", draw.number(1, 4))
    place = draw.number(0, len(jobs))
    jobs.insert(place, draw.sentence("item_edit", it=drawn.path, there=drawn.new))
    return _resumed(draw, drawn, jobs, place)


def _resumed(draw: Draw, drawn: Snippet, jobs: Sequence[str], place: int) -> Draft:
    edit = diff(drawn.path, drawn.text, drawn.change)
    done = complete(draw.sentence("result_edit", it=drawn.path), drawn.path)
    return Draft(
        slots={"ident": identifier(drawn.change.old[0]), "line": str(drawn.line), "path": drawn.path},
        turns=one_by_one(read(drawn.path), edit, checklist(_progress(jobs, len(jobs))), done),
        files={drawn.path: drawn.text},
        workspace=(drawn.path,),
        todos=tuple(("in_progress" if job == jobs[place] else "completed", job) for job in jobs),
        goal=Goal(
            edit.files, (drawn.path,), ("update_todo_list",), _finished(jobs), todo_files={jobs[place]: drawn.path}
        ),
    )


def tick_resumed(draw: Draw) -> Draft:
    """The same with the edit just made: mark it, complete."""
    draft = resume_any(draw)
    *done, tick, completion = draft.turns
    return replace(draft, turns=(tick, completion), history=tuple(map(Said, done)))


@dataclass(frozen=True, slots=True)
class _Point:
    """A point of a checklist: what the task says of it, the answers that it takes, and the file that they leave."""

    item: str
    shown: str
    steps: tuple[Step, ...]
    path: str = ""
    before: str = ""


def _write_point(draw: Draw) -> _Point:
    path, content = renamed_text(draw), draw.piece("singles")["lines"]
    item = draw.sentence("item_write", it=path)
    return _Point(item, f"{item}: `{content}`", (write(path, content),), path)


def _edit_point(draw: Draw) -> _Point:
    drawn = snippet(draw)
    item = draw.sentence("item_edit", it=drawn.path, there=drawn.new)
    edit = diff(drawn.path, drawn.text, drawn.change)
    name = identifier(drawn.change.old[0])
    return _Point(item, f"{item} (line {drawn.line}, `{name}`)", (read(drawn.path), edit), drawn.path, drawn.text)


def _run_point(draw: Draw) -> _Point:
    line = draw.word("test_command")
    item = draw.sentence("item_run", it=line)
    return _Point(item, item, (command(line),))


def mixed(draw: Draw) -> Draft:
    """Two or three points of several kinds, the list kept up to date."""
    drawn = [draw.pick((_write_point, _edit_point, _run_point))(draw) for _ in range(draw.number(1, 2))]
    drawn.insert(draw.number(0, len(drawn)), draw.pick((_write_point, _edit_point))(draw))
    points = list({point.path or point.item: point for point in drawn}.values())
    jobs = [point.item for point in points]
    steps = [checklist(_progress(jobs, 0))]
    for done, point in enumerate(points, start=1):
        steps += [*point.steps, checklist(_progress(jobs, done))]
    last = next(point for point in reversed(points) if point.path)
    path, told = last.path, "result_edit" if last.before else "result_written"
    steps.append(complete(draw.sentence(told, it=path), path))
    before = {point.path: point.before for point in points if point.before}
    return Draft(
        slots={"items": "\n".join(f"- {point.shown}" for point in points), "path": path},
        turns=one_by_one(*steps),
        files=before,
        workspace=tuple(sorted(before)),
        goal=Goal(
            {path: text for step in steps for path, text in step.files.items()},
            (path,),
            ("update_todo_list",),
            _finished(jobs),
            todo_files={point.item: point.path for point in points if point.path},
        ),
    )


def _finished(jobs: Sequence[str]) -> tuple[tuple[str, str], ...]:
    return tuple(("completed", job) for job in jobs)


TODO_TURNS = {
    "write_all": Kind(write_all, ("todo_turns", "write_all"), stock="suite"),
    "resume": Kind(resume, ("todo_turns", "resume"), stock="suite"),
    "write_several": Kind(partial(write_all, most=4), ("todo_turns", "write_all"), weight=4, stock="pool"),
    "mixed": Kind(mixed, ("todo_turns", "mixed"), weight=2, stock="pool"),
    "resume_any": Kind(resume_any, ("todo_turns", "resume"), weight=4, stock="pool"),
    "tick_resumed": Kind(tick_resumed, ("todo_turns", "resume"), stock="pool"),
}


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
