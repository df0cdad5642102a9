"""From a skill's draft to a case with its reference answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from services.protocols.cases import Case, Expected, FreeText, McpServer
from services.protocols.roo_xml.authoring.draw import SLOT
from services.protocols.roo_xml.parse import ToolBlock, parse
from services.protocols.roo_xml.tools import typed_arguments

_BLOCK_PARAMETERS = frozenset(("args", "content", "diff", "follow_up", "todos", "result"))


@dataclass(frozen=True, slots=True)
class Draft:
    """What a skill drew: the right call, the words for the task, and the situation.

    Attributes:
        params: the reference call's parameters in order.
        slots: what stands in the wording's slots.
        result: text of each changed file after the call.
    """

    params: Mapping[str, str]
    slots: Mapping[str, str]
    mode: str = "code"
    files: Mapping[str, str] = field(default_factory=dict)
    result: Mapping[str, str] = field(default_factory=dict)
    open_tabs: tuple[str, ...] = ()
    workspace: tuple[str, ...] = ()
    mcp: tuple[McpServer, ...] = ()
    todos: tuple[tuple[str, str], ...] = ()
    free_text: tuple[FreeText, ...] = ()


def render_call(tool: str, params: Mapping[str, str]) -> str:
    """Return the call as XML, laid out as the prompt shows it."""
    lines = [f"<{tool}>"]
    for name, value in params.items():
        gap = "\n" if name in _BLOCK_PARAMETERS else ""
        lines.append(f"<{name}>{gap}{value}{gap}</{name}>")
    return "\n".join([*lines, f"</{tool}>"])


def case_of(draft: Draft, *, case_id: str, tool: str, skill: str, wording: str) -> Case:
    """Return the case that asks for `draft` in the words of `wording`."""
    reference = render_call(tool, draft.params)
    call = parse(reference)[0]
    assert isinstance(call, ToolBlock)
    return Case(
        case_id=case_id,
        category=f"{tool}.{skill}",
        tool=tool,
        mode=draft.mode,
        task=SLOT.sub(lambda found: draft.slots[found[1]], wording),
        expected=Expected(tool, typed_arguments(tool, call.params), draft.result, draft.free_text),
        template=SLOT.sub("{}", wording),
        reference=reference,
        files=draft.files,
        open_tabs=draft.open_tabs,
        mcp=draft.mcp,
        todos=draft.todos,
        workspace=draft.workspace,
    )
