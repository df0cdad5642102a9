"""The table of skills: what is asked of each tool, and how often."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from services.protocols.roo_xml.authoring import skills_act, skills_edit, skills_read, skills_talk
from services.protocols.roo_xml.authoring.draft import Draft
from services.protocols.roo_xml.authoring.draw import Draw

Skill = Callable[[Draw], Draft]

SKILLS: Mapping[str, Mapping[str, tuple[int, Skill]]] = MappingProxyType(
    {
        "read_file": {
            "one": (4, skills_read.read_one),
            "two": (2, skills_read.read_two),
            "lines": (3, skills_read.read_lines),
            "tab": (1, skills_read.read_tab),
        },
        "search_files": {
            "word": (3, skills_read.search_word),
            "typed": (3, skills_read.search_typed),
            "regex": (3, skills_read.search_regex),
            "tab": (1, skills_read.search_tab),
        },
        "list_files": {
            "flat": (5, skills_read.list_flat),
            "deep": (4, skills_read.list_deep),
            "tab": (1, skills_read.list_tab),
        },
        "fetch_instructions": {
            "server": (5, skills_read.fetch_server),
            "mode": (5, skills_read.fetch_mode),
        },
        "write_to_file": {
            "block": (6, skills_edit.write_block),
            "line": (3, skills_edit.write_line),
            "note": (1, skills_edit.write_note),
        },
        "apply_diff": {
            "value": (7, skills_edit.diff_value),
            "text": (1, skills_edit.diff_text),
            "insert": (1, skills_edit.diff_insert),
            "delete": (1, skills_edit.diff_delete),
        },
        "execute_command": {
            "run": (5, skills_act.run_command),
            "folder": (4, skills_act.run_in_folder),
            "tab": (1, skills_act.run_tab),
        },
        "use_mcp_tool": {
            "one": (5, skills_act.mcp_one),
            "two": (4, skills_act.mcp_two),
            "found": (1, skills_act.mcp_one),
        },
        "ask_followup_question": {
            "two": (4, skills_talk.ask_two),
            "three": (5, skills_talk.ask_three),
            "tabs": (1, skills_talk.ask_tabs),
        },
        "attempt_completion": {
            "file": (5, skills_talk.complete_file),
            "tests": (4, skills_talk.complete_tests),
            "todos": (1, skills_talk.complete_todos),
        },
        "switch_mode": {
            "named": (5, skills_talk.switch_named),
            **{mode: (1, skills_talk.switch_for(mode)) for mode in ("architect", "debug", "ask", "orchestrator")},
            "blocked": (1, skills_talk.switch_blocked),
        },
        "new_task": {
            "named": (7, skills_talk.delegate_named),
            "fault": (2, skills_talk.delegate_fault),
            "todo": (1, skills_talk.delegate_todo),
        },
        "update_todo_list": {
            "marked": (5, skills_talk.todo_marked),
            "fresh": (1, skills_talk.todo_fresh),
            "plan": (3, skills_talk.todo_plan),
            "advance": (1, skills_talk.todo_advance),
        },
    }
)
"""Skill by tool and name, with its number of cases among ten."""
