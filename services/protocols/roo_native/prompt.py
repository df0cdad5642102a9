"""What the model gets to read: the system prompt in two sizes, and the user's turn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from services.protocols.cases import Case
from services.protocols.roo.modes import BUILT_IN_MODES, Mode, find_mode
from services.protocols.roo.workspace import numbered
from services.protocols.roo_native.definitions import Definition, definitions, server_functions

PROMPT_SIZES = ("compact", "full")
"""`compact` describes the functions and has calls written as text; `full` has both go beside the messages."""

_STATUS = {"pending": "Pending", "in_progress": "In Progress", "completed": "Completed"}
_SECTIONS = ("markdown", "use", "capabilities", "modes", "skills", "rules", "system", "objective")


class UnknownPromptSize(ValueError):
    """The profile has no prompt of this size."""


def system_prompt(case: Case, prompt_size: str) -> str:
    """Return the system prompt; `compact` is the same text for every case, `full` is one text per mode.

    Raises:
        UnknownPromptSize: `prompt_size` is none of `PROMPT_SIZES`.
    """
    _check_size(prompt_size)
    return _text("compact") if prompt_size == "compact" else _full(mode_of(case))


def tools_for(case: Case, prompt_size: str) -> list[Definition]:
    """Return the function definitions that the case's mode offers; none for `compact`, which describes them itself.

    Raises:
        UnknownPromptSize: `prompt_size` is none of `PROMPT_SIZES`.
    """
    _check_size(prompt_size)
    return definitions(mode_of(case), case.mcp) if prompt_size == "full" else []


def _check_size(prompt_size: str) -> None:
    if prompt_size not in PROMPT_SIZES:
        raise UnknownPromptSize(f"there is no prompt size {prompt_size!r}; known sizes are: {', '.join(PROMPT_SIZES)}")


def user_turn(case: Case, prompt_size: str) -> str:
    """Return the user's message: task, environment, and the text of files that matter if there is one turn only.

    Where no definitions go beside the messages, the environment names the functions of the connected servers.
    """
    parts = [f"<user_message>\n{case.task}\n</user_message>"]
    shown = case.files.items() if case.max_turns == 1 else ()
    parts += [f"[read_file for '{path}']\nFile: {path}\n{numbered(text)}" for path, text in shown]
    details = environment(
        case.mode,
        case.todos,
        open_tabs=case.open_tabs,
        workspace=case.workspace,
        functions=server_functions(case.mcp) if prompt_size == "compact" else (),
    )
    return "\n\n".join([*parts, details])


def environment(
    mode: str,
    todos: Sequence[tuple[str, str]],
    *,
    open_tabs: Sequence[str] = (),
    workspace: Sequence[str] = (),
    functions: Sequence[str] = (),
) -> str:
    """Return the block that closes every message of the user; a section without content is left out."""
    sections = "\n\n".join(_sections_of_environment(mode, todos, open_tabs, workspace, functions))
    return f"<environment_details>\n{sections}\n</environment_details>"


def _sections_of_environment(
    mode: str,
    todos: Sequence[tuple[str, str]],
    open_tabs: Sequence[str],
    workspace: Sequence[str],
    functions: Sequence[str],
) -> Iterator[str]:
    if open_tabs:
        yield "# VSCode Open Tabs\n" + "\n".join(open_tabs)
    yield f"# Current Mode\n<slug>{mode}</slug>"
    if functions:
        yield "# MCP Servers' Functions\n" + "\n".join(functions)
    if workspace:
        yield "# Current Workspace Directory Files\n" + "\n".join(workspace)
    if todos:
        rows = (f"| {row} | {text} | {_STATUS[status]} |" for row, (status, text) in enumerate(todos, start=1))
        yield "\n".join(("REMINDERS", "| # | Content | Status |", "|---|---|---|", *rows))


def mode_of(case: Case) -> Mode:
    """Return the mode that the case is in; `code` when its slug is unknown."""
    return find_mode(case.mode, case.custom_modes) or BUILT_IN_MODES["code"]


def _full(mode: Mode) -> str:
    sections = _sections("full")
    role = sections.get(f"role {mode.slug}", sections["role code"])
    own = sections.get(f"instructions {mode.slug}")
    named = [sections[name] for name in _SECTIONS]
    return "\n\n====\n\n".join((role, *named, *([own] if own else [])))


@cache
def _sections(name: str) -> Mapping[str, str]:
    parts = (part.partition("\n") for part in _text(name).split("%% ")[1:])
    return MappingProxyType({title: body.strip("\n") for title, _, body in parts})


@cache
def _text(name: str) -> str:
    return files(__package__).joinpath("prompts", f"{name}.txt").read_text(encoding="utf-8").rstrip("\n")
