"""Tasks of one call: the drafts of the XML protocol's skills, in neutral terms."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

from services.protocols.roo.scenarios.nouns import Call, Draft, Kind, Step
from services.protocols.roo.scenarios.steps import whole_word
from services.protocols.roo_xml.authoring import skills_act, skills_edit, skills_read, skills_talk
from services.protocols.roo_xml.authoring.draft import Draft as SkillDraft
from services.protocols.roo_xml.authoring.draw import Draw
from services.protocols.roo_xml.tools import typed_arguments

Build = Callable[[Draw], Draft]


def task(tool: str, skill: Callable[[Draw], SkillDraft]) -> Build:
    """Return what draws the task of one call that `skill` draws."""

    def build(draw: Draw) -> Draft:
        drawn = skill(draw)
        arguments = typed_arguments(tool, drawn.params)
        if tool == "use_mcp_tool":
            arguments["arguments"] = json.loads(drawn.params["arguments"])
        return Draft(
            slots=drawn.slots,
            steps=(Step(Call(tool, arguments), drawn.free_text, files=drawn.result),),
            mode=drawn.mode,
            files=drawn.files,
            workspace=drawn.workspace,
            open_tabs=drawn.open_tabs,
            mcp=drawn.mcp,
            todos=drawn.todos,
        )

    return build


read_one = task("read_file", skills_read.read_one)
read_lines = task("read_file", skills_read.read_lines)
search_word = task("search_files", skills_read.search_word)
search_regex = task("search_files", skills_read.search_regex)
list_flat = task("list_files", skills_read.list_flat)
fetch_server = task("fetch_instructions", skills_read.fetch_server)
write_block = task("write_to_file", skills_edit.write_block)
write_line = task("write_to_file", skills_edit.write_line)
write_note = task("write_to_file", skills_edit.write_note)
diff_value = task("apply_diff", skills_edit.diff_value)
run_command = task("execute_command", skills_act.run_command)
mcp_one = task("use_mcp_tool", skills_act.mcp_one)
mcp_two = task("use_mcp_tool", skills_act.mcp_two)
ask_two = task("ask_followup_question", skills_talk.ask_two)
ask_three = task("ask_followup_question", skills_talk.ask_three)
complete_file = task("attempt_completion", skills_talk.complete_file)
complete_tests = task("attempt_completion", skills_talk.complete_tests)
switch_named = task("switch_mode", skills_talk.switch_named)
switch_blocked = task("switch_mode", skills_talk.switch_blocked)
delegate_named = task("new_task", skills_talk.delegate_named)
todo_marked = task("update_todo_list", skills_talk.todo_marked)
todo_plan = task("update_todo_list", skills_talk.todo_plan)


def search_name(draw: Draw) -> Draft:
    """A search for a name, where the person does not say how to search."""
    draft = search_word(draw)
    choice = whole_word(draft.slots["ident"])
    return replace(draft, steps=(replace(draft.steps[0], choices=(choice,)),))


def with_todos(draw: Draw) -> Draft:
    """A subtask in a named mode that comes with a checklist."""
    draft, jobs = delegate_named(draw), draw.several("job", 2)
    call = draft.steps[0].call
    todos = "\n".join(f"[ ] {job}" for job in jobs)
    step = replace(draft.steps[0], call=Call(call.tool, {**call.arguments, "todos": todos}))
    return replace(draft, steps=(step,), slots={**draft.slots, "items": "\n".join(f"- {job}" for job in jobs)})


TOOL_CHOICE = {
    name: Kind(build, ("tool_choice", name))
    for name, build in {
        "read": read_one,
        "search": search_name,
        "list": list_flat,
        "instructions": fetch_server,
        "write": write_block,
        "diff": diff_value,
        "command": run_command,
        "mcp": mcp_one,
        "ask": ask_two,
        "complete": complete_tests,
        "switch": task("switch_mode", skills_talk.switch_for("debug")),
        "delegate": task("new_task", skills_talk.delegate_fault),
        "todo": todo_plan,
    }.items()
}
"""The person says what they want, not which tool does it."""

EXACT_ARGUMENTS = {
    name: Kind(build, ("exact_arguments", name))
    for name, build in {
        "read_two": task("read_file", skills_read.read_two),
        "read_lines": read_lines,
        "search_typed": task("search_files", skills_read.search_typed),
        "search_regex": search_regex,
        "list_deep": task("list_files", skills_read.list_deep),
        "write_line": write_line,
        "command_in_folder": task("execute_command", skills_act.run_in_folder),
        "mcp_two": mcp_two,
        "switch_named": switch_named,
        "delegate": delegate_named,
        "delegate_todos": with_todos,
        "todo_marked": todo_marked,
    }.items()
}
"""The person dictates the arguments."""
