"""What a scenario is: a situation, a task and the right answers, in terms that protocols share."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal

from services.protocols.cases import Case, Choice, Expected, FreeText, Goal, McpServer
from services.protocols.material.draw import Draw, StockName
from services.protocols.turn import Answer

SlipKind = Literal["", "drop", "raw", "cut", "list", "rename", "foreign"]


@dataclass(frozen=True, slots=True)
class Step:
    """One right call.

    Attributes:
        arguments: typed, as `tool` has them; where two protocols share the scenario, as the XML client types them, an
            object for the arguments of `use_mcp_tool`.
        free_text: arguments that are compared by rule instead of by value.
        choices: arguments that have other right values.
        files: text of each file that the call changes, after the call.
        result: what the call answers, where the case must say it.
        is_lookup: further calls of the tool do no harm, whatever their arguments.
    """

    tool: str
    arguments: Mapping[str, object]
    free_text: tuple[FreeText, ...] = ()
    choices: tuple[Choice, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    result: str = ""
    is_lookup: bool = False


Turns = tuple[tuple[Step, ...], ...]


def one_by_one(*steps: Step) -> Turns:
    """Return the answers that make one call each."""
    return tuple((step,) for step in steps)


@dataclass(frozen=True, slots=True)
class Slip:
    """What is wrong with how a call is written.

    Attributes:
        kind: `drop` leaves the argument `name` out, `raw` puts `value` in its place as the protocol writes it, `cut`
            breaks the arguments off, `list` puts them into a list, `rename` calls a tool named `value`, `foreign`
            writes the call in another protocol's form.
    """

    kind: SlipKind = ""
    name: str = ""
    value: object = None


@dataclass(frozen=True, slots=True)
class Said:
    """One answer of the history, right or wrong: text, and the calls behind it."""

    calls: tuple[Step, ...] = ()
    text: str = ""
    slip: Slip = Slip()


@dataclass(frozen=True, slots=True)
class Closing:
    """The right answer without a call: it must mention `mentions`, and end as a question where it is one."""

    text: str
    mentions: tuple[str, ...] = ()
    is_question: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What was drawn for a scenario, before it is asked for in words. Most fields are those of `Case`.

    Attributes:
        slots: what stands in the wording's slots.
        turns: the right calls, answer by answer; none where only the closing is right.
        closing: the last answer, where that is one without a call.
        label: stands for the tool where no call is due.
        offers: functions that are on offer besides those of the right calls.
        withheld: functions that are not on offer.
        history: what was answered before; as the protocol writes it where only one has the scenario.
    """

    slots: Mapping[str, Any]
    turns: Turns = ()
    closing: Closing | None = None
    label: str = ""
    offers: tuple[str, ...] = ()
    withheld: tuple[str, ...] = ()
    mode: str = "code"
    files: Mapping[str, str] = field(default_factory=dict)
    workspace: tuple[str, ...] = ()
    open_tabs: tuple[str, ...] = ()
    mcp: tuple[McpServer, ...] = ()
    todos: tuple[tuple[str, str], ...] = ()
    custom_modes: tuple[Mapping[str, object], ...] = ()
    history: tuple[Said | Answer, ...] = ()
    goal: Goal | None = None
    results: Mapping[str, str] = field(default_factory=dict)
    denied_tools: tuple[str, ...] = ()
    included_tools: tuple[str, ...] = ()
    excluded_tools: tuple[str, ...] = ()
    needs_done_todos: bool = False

    @property
    def steps(self) -> tuple[Step, ...]:
        """All right calls in order."""
        return tuple(step for turn in self.turns for step in turn)


Build = Callable[[Draw], Draft]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of scenario within a category.

    Attributes:
        build: draws a situation with its right answers.
        wordings: where the stock keeps the wordings: group and name.
        protocols: the protocols that have the situation; all of the catalogue's when empty.
        tool: the tool of the first call, where it is always the same and the kinds of different tools come in turn.
        weight: how often the kind comes, compared with the others of its tool.
        stock: the only stock that has the kind; both have it when empty.
    """

    build: Build
    wordings: tuple[str, str]
    protocols: frozenset[str] = frozenset()
    tool: str = ""
    weight: int = 1
    stock: StockName | Literal[""] = ""


def kinds_of(category: str, builds: Mapping[str, Build]) -> dict[str, Kind]:
    """Return the kinds of a category whose wordings stand under their own names."""
    return {name: Kind(build, (category, name)) for name, build in builds.items()}


@dataclass(frozen=True, slots=True)
class Scenario:
    """A draft, asked for in words.

    Attributes:
        category: category and kind, such as `recovery.no_match`.
        template: the wording that the task was made from.
        request: the task without the frame that it stands in.
        random: for what a protocol still chooses when it writes the case.
    """

    scenario_id: str
    category: str
    template: str
    request: str
    task: str
    draft: Draft
    random: Random

    @property
    def tool(self) -> str:
        """The tool of the first right call, or the label that stands for none."""
        return self.draft.turns[0][0].tool if self.draft.turns else self.draft.label

    def to_case(
        self,
        expected: Expected,
        reference: str,
        *,
        history: Sequence[Answer] = (),
        solution: Sequence[Answer] = (),
        spare_turns: int = 0,
    ) -> Case:
        """Return the case of a protocol that writes the right answers so; `solution` is that of several answers.

        A task of several answers may take `spare_turns` more than it needs.
        """
        draft = self.draft
        return Case(
            case_id=self.scenario_id,
            category=self.category,
            tool=expected.tool,
            mode=draft.mode,
            task=self.task,
            expected=expected,
            template=self.template,
            reference=reference,
            files=draft.files,
            open_tabs=draft.open_tabs,
            mcp=draft.mcp,
            todos=draft.todos,
            custom_modes=draft.custom_modes,
            workspace=draft.workspace,
            max_turns=len(solution) + spare_turns if solution else 1,
            history=tuple(history),
            solution=tuple(solution),
            goal=draft.goal,
            results=draft.results,
            denied_tools=draft.denied_tools,
            included_tools=draft.included_tools,
            excluded_tools=draft.excluded_tools,
            needs_done_todos=draft.needs_done_todos,
        )
