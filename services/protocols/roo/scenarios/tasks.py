"""Tasks of one call: which tool, which arguments, and single calls of every tool."""

from collections.abc import Mapping

from services.protocols.material.scenario import Build, Kind, kinds_of
from services.protocols.roo.scenarios import calls, dialogue, edits

TOOL_CHOICE = kinds_of(
    "tool_choice",
    {
        "read": calls.read_one,
        "search": calls.search_name,
        "list": calls.list_flat,
        "instructions": calls.fetch("create_mcp_server", "service"),
        "write": edits.write_block,
        "diff": edits.diff_value,
        "command": calls.run_command,
        "mcp": calls.mcp_one,
        "ask": dialogue.ask_choice(2),
        "complete": dialogue.complete_tests,
        "switch": dialogue.switch_for("debug"),
        "delegate": dialogue.delegate_fault,
        "todo": dialogue.todo_plan,
    },
)
"""The person says what they want, not which tool does it."""

EXACT_ARGUMENTS = kinds_of(
    "exact_arguments",
    {
        "read_two": calls.read_two,
        "read_lines": calls.read_lines,
        "search_typed": calls.search_typed,
        "search_regex": calls.search_regex,
        "list_deep": calls.list_deep,
        "write_line": edits.write_piece("singles"),
        "command_in_folder": calls.run_in_folder,
        "mcp_two": calls.mcp_two,
        "switch_named": dialogue.switch_named,
        "delegate": dialogue.delegate_named,
        "delegate_todos": dialogue.delegate_with_todos,
        "todo_marked": dialogue.todo_marked,
    },
)
"""The person dictates the arguments."""

_SINGLE_CALLS: Mapping[str, Mapping[str, tuple[int, Build]]] = {
    "read_file": {
        "one": (4, calls.read_one),
        "two": (2, calls.read_two),
        "lines": (3, calls.read_lines),
        "tab": (1, calls.read_tab),
    },
    "search_files": {
        "word": (3, calls.search_word),
        "typed": (3, calls.search_typed),
        "regex": (3, calls.search_regex),
        "tab": (1, calls.search_tab),
    },
    "list_files": {"flat": (5, calls.list_flat), "deep": (4, calls.list_deep), "tab": (1, calls.list_tab)},
    "fetch_instructions": {
        "server": (5, calls.fetch("create_mcp_server", "service")),
        "mode": (5, calls.fetch("create_mode", "mode_name")),
    },
    "write_to_file": {
        "block": (6, edits.write_block),
        "line": (3, edits.write_piece("singles")),
        "note": (1, edits.write_note),
    },
    "apply_diff": {
        "value": (7, edits.diff_value),
        "text": (1, edits.diff_value),
        "insert": (1, edits.diff_line(inserts=True)),
        "delete": (1, edits.diff_line(inserts=False)),
    },
    "execute_command": {"run": (5, calls.run_command), "folder": (4, calls.run_in_folder), "tab": (1, calls.run_tab)},
    "use_mcp_tool": {"one": (5, calls.mcp_one), "two": (4, calls.mcp_two), "found": (1, calls.mcp_one)},
    "ask_followup_question": {
        "two": (4, dialogue.ask_choice(2)),
        "three": (5, dialogue.ask_choice(3)),
        "tabs": (1, dialogue.ask_tabs),
    },
    "attempt_completion": {
        "file": (5, dialogue.complete_file),
        "tests": (4, dialogue.complete_tests),
        "todos": (1, dialogue.complete_todos),
    },
    "switch_mode": {
        "named": (5, dialogue.switch_named),
        **{mode: (1, dialogue.switch_for(mode)) for mode in ("architect", "debug", "ask", "orchestrator")},
        "blocked": (1, dialogue.switch_blocked),
    },
    "new_task": {
        "named": (7, dialogue.delegate_named),
        "fault": (2, dialogue.delegate_fault),
        "todo": (1, dialogue.delegate_todo),
    },
    "update_todo_list": {
        "marked": (5, dialogue.todo_marked),
        "fresh": (1, dialogue.todo_fresh),
        "plan": (3, dialogue.todo_plan),
        "advance": (1, dialogue.todo_advance),
    },
}
"""By tool: how many of ten calls are of a kind, and what draws them."""

SINGLE_CALLS = {
    f"{tool}_{name}": Kind(build, (tool, name), tool=tool, weight=weight)
    for tool, kinds in _SINGLE_CALLS.items()
    for name, (weight, build) in kinds.items()
}
"""One plain call of each tool, named by the person or easy to infer."""
