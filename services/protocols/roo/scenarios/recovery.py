"""Recovery: the history holds a wrong answer and the client's error, the right answer repairs it.

A kind is named by the client's code, as the conformance vectors name it, and by what the wrong answer gets wrong where
one code has several.
"""

from collections.abc import Mapping
from dataclasses import replace

from services.protocols.material.draw import Draw
from services.protocols.material.scenario import Build, Draft, Kind, Said, Step
from services.protocols.roo.scenarios import calls, dialogue, edits, limits, slips, talk
from services.protocols.roo.scenarios.edits import two_places
from services.protocols.roo.scenarios.slips import WRONG_DIFFS, Wrong, misspelt, other, reading, slip
from services.protocols.roo.scenarios.steps import BOTH, NATIVE, XML, command, list_files, read, search
from services.protocols.roo.scenarios.tasks import EXACT_ARGUMENTS, TOOL_CHOICE


def after(build: Build, wrong: Wrong) -> Build:
    """Return what draws the task of `build` behind a wrong answer to it."""

    def behind(draw: Draw) -> Draft:
        draft = build(draw)
        return replace(draft, history=(*draft.history, wrong(draw, draft)))

    return behind


def read_in_folder(draw: Draw) -> Draft:
    """A file that stands in a folder."""
    while "/" not in (draft := calls.read_one(draw)).slots["path"]:
        pass
    return draft


def read_lines_of_text(draw: Draw) -> Draft:
    """A range of lines of a file whose text is known."""
    draft = calls.read_lines(draw)
    text = "\n".join(f"{draw.word('ident')} = {number}" for number in range(int(draft.slots["last"])))
    return replace(draft, files={draft.slots["path"]: text})


def block_left(draw: Draw) -> Draft:
    """One of two blocks was applied; the other is still to be done, on the file as it stands now."""
    draft = two_places(draw)
    call, (path, text) = draft.steps[0], next(iter(draft.files.items()))
    lines, number = text.split("\n"), int(draft.slots["line"])
    wrong = str(call.arguments["diff"]).replace(
        f":start_line:{number}\n-------\n{lines[number - 1]}",
        f":start_line:{number}\n-------\n{lines[number - 1].swapcase()}",
    )
    place = number - (int(draft.slots["line2"]) < number)
    old = lines[number - 1]
    new = old.replace(draft.slots["old"], draft.slots["new"])
    left = f"<<<<<<< SEARCH\n:start_line:{place}\n-------\n{old}\n=======\n{new}\n>>>>>>> REPLACE"
    step = Step("apply_diff", {"path": path, "diff": left}, files=draft.steps[0].files)
    return replace(draft, turns=((step,),), history=(Said((Step("apply_diff", {"path": path, "diff": wrong}),)),))


def write_in(draw: Draw, draft: Draft) -> Said:
    """Write the file that may not be written."""
    content = draft.slots.get("content") or draw.piece("singles")["lines"]
    return Said((Step("write_to_file", {"path": draft.slots["path"], "content": content}),))


def completed_with_open_items(draw: Draw) -> Draft:
    """A checklist to be brought up to date, for a client that refuses a completion while an item is open."""
    draft = after(dialogue.todo_marked, _complete)(draw)
    return replace(draft, todos=(("in_progress", draw.word("job")),), needs_done_todos=True)


def _complete(draw: Draw, draft: Draft) -> Said:
    return Said((dialogue.complete_tests(draw).steps[0],))


def denied(draw: Draw) -> Draft:
    """A command that the person may refuse, and a file to read then."""
    line, path = draw.word("command"), draw.word("path")
    return Draft(
        slots={"command": line, "path": path},
        turns=((read(path),),),
        workspace=(path,),
        history=(Said((command(line),)),),
        denied_tools=("execute_command",),
    )


def after_denial(draw: Draw) -> Draft:
    """The same, both calls in one answer."""
    draft = denied(draw)
    return replace(draft, history=(Said((command(draft.slots["command"]), draft.steps[0])),))


def two_steps(draw: Draw) -> Draft:
    """Two steps in one answer, of which the client took the first only."""
    folder, name, path = draw.word("folder"), draw.word("ident"), draw.word("path")
    first, second = search(folder, name), read(path)
    slots = {"folder": folder, "ident": name, "path": path}
    return Draft(slots=slots, turns=((second,),), workspace=(path,), history=(Said((first, second)),))


def after_new_task(draw: Draw) -> Draft:
    """A call behind a new task, which the client dropped."""
    draft, folder = dialogue.delegate_named(draw), draw.word("folder")
    step = list_files(folder)
    said = Said((draft.steps[0], step))
    return replace(draft, slots={**draft.slots, "folder": folder}, mode="code", turns=((step,),), history=(said,))


def completed_too_early(draw: Draw, draft: Draft) -> Said:
    """Complete in the same answer as a call that fails."""
    path = draft.slots["path"]
    done = Step("attempt_completion", {"result": draw.sentence("result_edit", it=path)})
    return Said((read(f"{path}x"), done))


def same_mode(draw: Draw) -> Draft:
    """The mode is the wanted one already; the work itself is left."""
    line, mode = draw.word("command"), draw.pick(("code", "debug"))
    said = Said((Step("switch_mode", {"mode_slug": mode, "reason": draw.word("job")}),))
    return Draft(slots={"mode": mode, "command": line}, turns=((command(line),),), mode=mode, history=(said,))


def stored_output(draw: Draw) -> Draft:
    """The stored output of an earlier command."""
    name = f"cmd-17{draw.random.randrange(10**10, 10**11)}.txt"
    step = Step("read_command_output", {"artifact_id": name})
    return Draft(slots={"artifact": name}, turns=((step,),), results={"read_command_output": draw.word("job")})


_TASKS: Mapping[str, Kind] = {
    "read": Kind(read_in_folder, ("tool_choice", "read")),
    "lines": Kind(read_lines_of_text, ("exact_arguments", "read_lines")),
    "search": EXACT_ARGUMENTS["search_regex"],
    "list": TOOL_CHOICE["list"],
    "instructions": TOOL_CHOICE["instructions"],
    "write": edits.WHOLE_FILE["block"],
    "diff": edits.EDIT_BY_DIFF["value"],
    "command": TOOL_CHOICE["command"],
    "mcp": TOOL_CHOICE["mcp"],
    "ask": talk.ASK_WHEN_UNCLEAR["two"],
    "complete": talk.COMPLETION["tests"],
    "switch": EXACT_ARGUMENTS["switch_named"],
    "delegate": EXACT_ARGUMENTS["delegate"],
    "todo": EXACT_ARGUMENTS["todo_marked"],
    "blocked": limits.MODE_LIMITS["blocked"],
    "architect": limits.MODE_LIMITS["architect_to_code"],
    "custom": limits.MODE_LIMITS["custom_to_code"],
    "ignored": limits.MODE_LIMITS["ignored"],
    "artifact": Kind(stored_output, ("recovery", "artifact")),
    **edits.OPT_IN_EDITS,
}
"""What the person asks for."""

_WITHOUT_CONTEXT = other(
    lambda _, right: {**right, **{name: str(right[name]).rpartition("\n")[2] for name in ("old_string", "new_string")}}
)
"""Looks for a line that stands there more than once, without what tells it from its like."""

_SLIPS: tuple[tuple[str, str, Wrong, frozenset[str]], ...] = (
    ("no_tool.text", "read", slips.only_text, BOTH),
    ("no_tool.foreign", "search", slip("foreign"), BOTH),
    ("no_tool.unknown_name", "write", slips.unknown_name, XML),
    ("unknown_tool", "write", slips.unknown_name, NATIVE),
    ("missing_param.args", "read", slip("drop", "args"), XML),
    ("missing_param.regex", "search", slip("drop", "regex"), XML),
    ("missing_param.path_searched", "search", slip("drop", "path"), XML),
    ("missing_param.path_listed", "list", slip("drop", "path"), XML),
    ("missing_param.path_written", "write", slip("drop", "path"), XML),
    ("missing_param.path_changed", "diff", slip("drop", "path"), XML),
    ("missing_param.diff", "diff", slip("drop", "diff"), XML),
    ("missing_param.command", "command", slip("drop", "command"), XML),
    ("missing_param.server_name", "mcp", slip("drop", "server_name"), XML),
    ("missing_param.tool_name", "mcp", slip("drop", "tool_name"), XML),
    ("missing_param.question", "ask", slip("drop", "question"), XML),
    ("missing_param.result", "complete", slip("drop", "result"), XML),
    ("missing_param.mode_slug", "switch", slip("drop", "mode_slug"), XML),
    ("missing_param.mode", "delegate", slip("drop", "mode"), XML),
    ("missing_param.message", "delegate", slip("drop", "message"), XML),
    ("missing_param.task", "instructions", slip("drop", "task"), XML),
    ("missing_param.question_empty", "ask", slip("raw", "question", ""), NATIVE),
    ("missing_param.follow_up", "ask", slip("raw", "follow_up", "yes / no"), NATIVE),
    ("invalid_arguments.cut_diff", "diff", slip("cut"), NATIVE),
    ("invalid_arguments.cut_content", "write", slip("cut"), NATIVE),
    ("invalid_arguments.cut_todos", "todo", slip("cut"), NATIVE),
    ("invalid_arguments.list", "command", slip("list"), NATIVE),
    ("invalid_arguments.path_read", "read", slip("drop", "path"), NATIVE),
    ("invalid_arguments.path_listed", "list", slip("drop", "path"), NATIVE),
    ("invalid_arguments.regex", "search", slip("drop", "regex"), NATIVE),
    ("invalid_arguments.content", "write", slip("drop", "content"), NATIVE),
    ("invalid_arguments.diff", "diff", slip("drop", "diff"), NATIVE),
    ("invalid_arguments.command", "command", slip("raw", "command", ""), NATIVE),
    ("invalid_arguments.result", "complete", slip("drop", "result"), NATIVE),
    ("invalid_arguments.reason", "switch", slip("drop", "reason"), NATIVE),
    ("invalid_arguments.message", "delegate", slip("drop", "message"), NATIVE),
    ("bad_value.content", "write", slip("raw", "content", {"lines": []}), NATIVE),
    ("bad_value.diff", "diff", slip("raw", "diff", ["-", "+"]), NATIVE),
    ("bad_path_value.list", "read", slip("raw", "path", ["."]), NATIVE),
    ("bad_path_value.number", "list", slip("raw", "path", 1), NATIVE),
    ("bad_path_value.nested", "read", slip("raw", "args", "<file><path><name>.</name></path></file>"), XML),
    ("args_xml", "read", slip("raw", "args", "<file>\n<path>.</path>\n</fil"), XML),
    ("follow_up_xml", "ask", slip("raw", "follow_up", "<suggest>yes</suggest>\n<suggest>no"), XML),
    ("file_not_found.read", "read", reading(lambda path, *_: (f"{path}x",)), BOTH),
    ("file_not_found.diff", "diff", misspelt("path"), BOTH),
    ("is_directory", "read", reading(lambda path, *_: (path.rpartition("/")[0],)), BOTH),
    ("bad_range", "lines", reading(lambda path, first, last: (path, last, first)), XML),
    ("range_beyond_end", "lines", reading(lambda path, first, last: (path, first + 5000, last + 5000)), XML),
    ("bad_offset", "lines", reading(lambda path, _, last: (path, 0, last)), NATIVE),
    ("not_allowed_in_mode", "blocked", write_in, BOTH),
    ("file_pattern.architect", "architect", write_in, BOTH),
    ("file_pattern.custom", "custom", write_in, BOTH),
    ("ignored_file.read", "ignored", lambda _, draft: Said((read(draft.slots["path"]),)), BOTH),
    ("ignored_file.write", "ignored", write_in, BOTH),
    ("ignored_file.command", "ignored", lambda _, draft: Said((command(f"cat {draft.slots['path']}"),)), BOTH),
    *((code, "diff", wrong, BOTH) for code, wrong in WRONG_DIFFS.items()),
    ("mcp_bad_json.text", "mcp", slip("raw", "arguments", '{"name": '), XML),
    ("mcp_bad_json.list", "mcp", slip("list"), NATIVE),
    ("mcp_unknown_server", "mcp", misspelt("server_name"), BOTH),
    ("mcp_unknown_tool", "mcp", misspelt("tool_name"), BOTH),
    ("unknown_mode.switch", "switch", misspelt("mode_slug"), BOTH),
    ("unknown_mode.task", "delegate", misspelt("mode"), BOTH),
    ("unknown_instruction", "instructions", other(lambda draw, _: {"task": draw.word("ident")}), BOTH),
    ("experiment_off", "command", lambda _, draft: Said((Step("run_slash_command", dict(draft.slots)),)), BOTH),
    ("bad_artifact_id", "artifact", other(lambda _, right: {"artifact_id": f"/tmp/{right['artifact_id']}"}), NATIVE),
    ("several_matches", "search_replace", _WITHOUT_CONTEXT, NATIVE),
    ("count_mismatch", "edit_file", _WITHOUT_CONTEXT, NATIVE),
    ("file_exists", "edit_file", other(lambda _, right: {**right, "old_string": ""}), NATIVE),
    ("bad_patch", "apply_patch", other(lambda _, right: {"patch": str(right["patch"]).rpartition("\n")[0]}), NATIVE),
    ("tool_failed_before_completion", "read", completed_too_early, NATIVE),
)

_OWN: tuple[tuple[str, Build, tuple[str, str], frozenset[str]], ...] = (
    ("some_parts_failed", block_left, ("edit_by_diff", "two_places"), BOTH),
    ("denied_by_user", denied, ("recovery", "denied"), BOTH),
    ("after_denial", after_denial, ("recovery", "denied"), BOTH),
    ("same_mode", same_mode, ("recovery", "same_mode"), BOTH),
    ("open_todos", completed_with_open_items, ("exact_arguments", "todo_marked"), BOTH),
    ("second_tool", two_steps, ("recovery", "two_steps"), XML),
    ("after_new_task", after_new_task, ("recovery", "after_new_task"), NATIVE),
    ("repeated_call", talk.once_more, ("repetition", "search_elsewhere"), BOTH),
)

RECOVERY: Mapping[str, Kind] = {
    **{
        name: Kind(after(_TASKS[task].build, wrong), _TASKS[task].wordings, where)
        for name, task, wrong, where in _SLIPS
    },
    **{name: Kind(build, wordings, where) for name, build, wordings, where in _OWN},
}
