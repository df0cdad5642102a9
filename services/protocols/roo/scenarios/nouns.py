"""What a scenario is: a situation, a task and the right steps, in terms that both Roo protocols share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from services.protocols.cases import Choice, FreeText, Goal, McpServer
from services.protocols.roo_xml.authoring.draw import Draw

Protocol = Literal["roo_xml", "roo_native"]
BOTH: frozenset[Protocol] = frozenset(("roo_xml", "roo_native"))
XML: frozenset[Protocol] = frozenset(("roo_xml",))
NATIVE: frozenset[Protocol] = frozenset(("roo_native",))

SlipKind = Literal["", "drop", "raw", "cut", "list", "rename", "foreign"]


@dataclass(frozen=True, slots=True)
class Call:
    """A tool by the XML client's name, and its arguments as that client types them.

    The arguments of `use_mcp_tool` hold an object where the client holds its JSON text.
    """

    tool: str
    arguments: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Step:
    """One right answer.

    Attributes:
        free_text: arguments that are compared by rule instead of by value.
        choices: arguments that have other right values.
        files: text of each file that the call changes, after the call.
    """

    call: Call
    free_text: tuple[FreeText, ...] = ()
    choices: tuple[Choice, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Slip:
    """What is wrong with how a call is written.

    Attributes:
        kind: `drop` leaves the argument `name` out, `raw` puts `value` in its place as the protocol writes it, `cut`
            breaks the arguments off, `list` puts them into a list, `rename` calls a tool named `value`, `foreign`
            writes the call in the other protocol's form.
    """

    kind: SlipKind = ""
    name: str = ""
    value: object = None


@dataclass(frozen=True, slots=True)
class Said:
    """One answer of the history, right or wrong: text, and the calls behind it."""

    calls: tuple[Call, ...] = ()
    text: str = ""
    slip: Slip = Slip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What was drawn for a scenario, before it is asked for in words.

    Attributes:
        slots: what stands in the wording's slots.
        steps: the right answers in order; a task of one answer has one.
        files: text by path of the workspace files that matter.
        workspace: paths shown in the workspace listing.
        todos: current checklist, (status, text) pairs.
        history: what was answered before the first step.
        goal: what must hold at the end of a task of several answers.
        results: what tools answer that do nothing by themselves, by name.
        denied_tools: tools that the user refuses.
        included_tools: opt-in tools that the model's settings bring in; only for the native protocol, as the next.
        excluded_tools: tools that those settings leave out.
        needs_done_todos: a completion is refused while the checklist is unfinished.
    """

    slots: Mapping[str, str]
    steps: tuple[Step, ...]
    mode: str = "code"
    files: Mapping[str, str] = field(default_factory=dict)
    workspace: tuple[str, ...] = ()
    open_tabs: tuple[str, ...] = ()
    mcp: tuple[McpServer, ...] = ()
    todos: tuple[tuple[str, str], ...] = ()
    custom_modes: tuple[Mapping[str, object], ...] = ()
    history: tuple[Said, ...] = ()
    goal: Goal | None = None
    results: Mapping[str, str] = field(default_factory=dict)
    denied_tools: tuple[str, ...] = ()
    included_tools: tuple[str, ...] = ()
    excluded_tools: tuple[str, ...] = ()
    needs_done_todos: bool = False


_SPARE_TURNS = 3


@dataclass(frozen=True, slots=True)
class Scenario:
    """A draft, asked for in words.

    Attributes:
        category: category and kind, such as `recovery.no_match`.
        template: the wording with empty slots.
    """

    scenario_id: str
    category: str
    template: str
    task: str
    draft: Draft

    @property
    def max_turns(self) -> int:
        """Answers that the model may give: one where one is asked for, else a few more than are needed."""
        needed = len(self.draft.steps)
        return needed + _SPARE_TURNS if needed > 1 else 1


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of scenario within a category.

    Attributes:
        build: draws a situation with its right steps.
        wordings: where the stock keeps the wordings: category and name.
        protocols: the protocols that have the situation.
    """

    build: Callable[[Draw], Draft]
    wordings: tuple[str, str]
    protocols: frozenset[Protocol] = BOTH
