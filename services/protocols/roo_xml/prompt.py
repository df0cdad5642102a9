"""What the model gets to read: the system prompt in two sizes, and the user's turn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from services.protocols.cases import Case
from services.protocols.roo.modes import BUILT_IN_MODES, Mode, find_mode, refusal

PROMPT_SIZES = ("compact", "full")

_CATALOGUE = (
    *("read_file", "fetch_instructions", "search_files", "list_files", "apply_diff", "write_to_file"),
    *("execute_command", "use_mcp_tool", "ask_followup_question", "attempt_completion", "switch_mode", "new_task"),
    "update_todo_list",
)
"""The tools that the prompt describes, in the client's order."""

_STATUS = {"pending": "Pending", "in_progress": "In Progress", "completed": "Completed"}


class UnknownPromptSize(ValueError):
    """The profile has no prompt of this size."""


def system_prompt(case: Case, prompt_size: str) -> str:
    """Return the system prompt; `compact` is the same text for every case, `full` is one text per mode.

    Raises:
        UnknownPromptSize: `prompt_size` is none of `PROMPT_SIZES`.
    """
    if prompt_size == "compact":
        return _text("compact")
    if prompt_size == "full":
        return _full(mode_of(case))
    raise UnknownPromptSize(f"there is no prompt size {prompt_size!r}; known sizes are: {', '.join(PROMPT_SIZES)}")


def user_turn(case: Case) -> str:
    """Return the user's message: task, the text of files that matter, environment."""
    parts = [f"<task>\n{case.task}\n</task>"]
    parts += [f'<file_content path="{path}">\n{_numbered(text)}\n</file_content>' for path, text in case.files.items()]
    environment = "\n\n".join(_environment(case))
    return "\n\n".join([*parts, f"<environment_details>\n{environment}\n</environment_details>"])


def _environment(case: Case) -> Iterator[str]:
    if case.open_tabs:
        yield "# VSCode Open Tabs\n" + "\n".join(case.open_tabs)
    yield f"# Current Mode\n<slug>{case.mode}</slug>"
    if case.mcp:
        yield "# MCP Servers\n" + "\n".join(f"{server.name}: {', '.join(server.tools)}" for server in case.mcp)
    if case.workspace:
        yield "# Workspace Files\n" + "\n".join(case.workspace)
    if case.todos:
        rows = (f"| {row} | {text} | {_STATUS[status]} |" for row, (status, text) in enumerate(case.todos, start=1))
        yield "\n".join(("# Todo List", "| # | Content | Status |", *rows))


def _numbered(text: str) -> str:
    lines = text.removesuffix("\n").split("\n")
    width = len(str(len(lines)))
    return "\n".join(f"{number:>{width}} | {line}" for number, line in enumerate(lines, start=1))


def mode_of(case: Case) -> Mode:
    """Return the mode that the case is in; `code` when its slug is unknown."""
    return find_mode(case.mode, case.custom_modes) or BUILT_IN_MODES["code"]


def _full(mode: Mode) -> str:
    sections = _sections("full")
    tools = [sections[f"tool {tool}"] for tool in _CATALOGUE if refusal(tool, mode, {}) is None]
    role = sections.get(f"role {mode.slug}", sections["role code"])
    use = "\n\n".join((sections["format"], *tools, sections["guidelines"]))
    named = (sections[name] for name in ("capabilities", "modes", "rules", "system", "objective"))
    own = sections.get(f"instructions {mode.slug}")
    return "\n\n====\n\n".join((role, sections["markdown"], use, *named, *([own] if own else [])))


@cache
def _sections(name: str) -> Mapping[str, str]:
    parts = (part.partition("\n") for part in _text(name).split("%% ")[1:])
    return MappingProxyType({title: body.strip("\n") for title, _, body in parts})


@cache
def _text(name: str) -> str:
    return files(__package__).joinpath("prompts", f"{name}.txt").read_text(encoding="utf-8").rstrip("\n")
