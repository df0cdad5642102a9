"""What the model gets to read: the system prompt in two sizes, and the user's turn."""

from services.protocols.cases import Case
from services.protocols.contract import UnknownPromptSize
from services.protocols.roo.modes import Mode, refusal
from services.protocols.roo.prompt_text import mode_of, sections_of, text_of
from services.protocols.roo.workspace import numbered
from services.protocols.roo_xml.editions import REFERENCE
from services.protocols.roo_xml.tools.tool import Edition
from services.protocols.roo_xml.turn import environment
from services.protocols.session import state_of

PROMPT_SIZES = ("compact", "full")


def system_prompt(case: Case, prompt_size: str, edition: Edition = REFERENCE) -> str:
    """Return the system prompt; `compact` is the same text for every case, `full` is one text per mode.

    Raises:
        UnknownPromptSize: `prompt_size` is none of `PROMPT_SIZES`.
    """
    if prompt_size == "compact":
        more = [sections_of(__package__, "classic")["compact"]] if edition.is_classic else []
        return "\n\n".join((text_of(__package__, "compact"), *more))
    if prompt_size == "full":
        return _full(mode_of(case), edition)
    raise UnknownPromptSize(prompt_size, PROMPT_SIZES)


def user_turn(case: Case) -> str:
    """Return the user's message: task, environment, and the text of files that matter if there is one turn only."""
    parts = [f"<task>\n{case.task}\n</task>"]
    shown = case.files.items() if case.max_turns == 1 else ()
    parts += [f'<file_content path="{path}">\n{numbered(text)}\n</file_content>' for path, text in shown]
    return "\n\n".join([*parts, environment(state_of(case), case.open_tabs, case.workspace)])


def _full(mode: Mode, edition: Edition) -> str:
    sections = {
        **sections_of(__package__, "full"),
        **(sections_of(__package__, "classic") if edition.is_classic else {}),
    }
    described = (title.removeprefix("tool ") for title in sections if title.startswith("tool "))
    offered = (tool for tool in described if refusal(tool, mode, {}, rules=edition.mode_rules) is None)
    tools = [sections[f"tool {tool}"] for tool in offered]
    role = sections.get(f"role {mode.slug}", sections["role code"])
    use = "\n\n".join((sections["format"], *tools, sections["guidelines"]))
    named = (sections[name] for name in ("capabilities", "modes", "rules", "system", "objective"))
    own = sections.get(f"instructions {mode.slug}")
    return "\n\n====\n\n".join((role, sections["markdown"], use, *named, *([own] if own else [])))
