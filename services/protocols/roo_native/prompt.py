"""What the model gets to read: the system prompt in two sizes, and the user's turn."""

from collections.abc import Sequence

from services.protocols.cases import Case
from services.protocols.contract import UnknownPromptSize
from services.protocols.roo.prompt_text import environment_block, mode_of, sections_of, text_of, todo_table
from services.protocols.roo.workspace import numbered
from services.protocols.roo_native.definitions import offered_tools, server_functions

PROMPT_SIZES = ("compact", "full")
"""`compact` describes the functions and has calls written as text; `full` has both go beside the messages."""

_SECTIONS = ("markdown", "use", "capabilities", "modes", "skills", "rules", "system", "objective")


def check_size(prompt_size: str) -> None:
    """Raise UnknownPromptSize when `prompt_size` is none of `PROMPT_SIZES`."""
    if prompt_size not in PROMPT_SIZES:
        raise UnknownPromptSize(prompt_size, PROMPT_SIZES)


def system_prompt(case: Case, prompt_size: str) -> str:
    """Return the system prompt; `compact` is the same text for every case, `full` is one text per mode.

    Raises:
        UnknownPromptSize: `prompt_size` is none of `PROMPT_SIZES`.
    """
    check_size(prompt_size)
    if prompt_size == "compact":
        return text_of(__package__, "compact")
    mode, sections = mode_of(case), sections_of(__package__, "full")
    role = sections.get(f"role {mode.slug}", sections["role code"])
    own = sections.get(f"instructions {mode.slug}")
    return "\n\n====\n\n".join((role, *(sections[name] for name in _SECTIONS), *([own] if own else [])))


def user_turn(case: Case, prompt_size: str) -> str:
    """Return the user's message: task, environment, and the text of files that matter if there is one turn only.

    Where no definitions go beside the messages, the environment names the functions of the connected servers, and shows
    the opt-in tools that the model's settings bring in.
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
    settings = [_settings(case)] if prompt_size == "compact" and (case.included_tools or case.excluded_tools) else []
    return "\n\n".join([*parts, *settings, details])


def _settings(case: Case) -> str:
    offered = offered_tools(mode_of(case), case.included_tools, case.excluded_tools)
    forms = [form for name, form in sections_of(__package__, "opt_in").items() if name in offered]
    missing = [f"Not offered here: {', '.join(case.excluded_tools)}"] if case.excluded_tools else []
    return "\n\n".join(("# Functions of This Model", *forms, *missing))


def environment(
    mode: str,
    todos: Sequence[tuple[str, str]],
    *,
    open_tabs: Sequence[str] = (),
    workspace: Sequence[str] = (),
    functions: Sequence[str] = (),
) -> str:
    """Return the block that closes every message of the user; a section without content is left out."""
    return environment_block(
        ("# VSCode Open Tabs", open_tabs),
        ("# Current Mode", (f"<slug>{mode}</slug>",)),
        ("# MCP Servers' Functions", functions),
        ("# Current Workspace Directory Files", workspace),
        ("REMINDERS", todo_table(todos, is_ruled=True)),
    )
