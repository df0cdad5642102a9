"""What a case is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from services.protocols.cases.scoring import Scoring
from services.protocols.javascript.text import trim
from services.protocols.turn import Answer, Effect, McpServer


@dataclass(frozen=True, slots=True)
class FreeText:
    """An argument whose wording is free.

    It passes when it is not blank, when each of `mentions` stands in it as a whole word or span (case counts), and,
    with `question`, when it ends in a question mark.
    """

    argument: str
    mentions: tuple[str, ...] = ()
    question: bool = False

    def problem(self, value: object) -> str | None:
        """Return one sentence on why `value` does not pass, or None."""
        text = trim(value) if isinstance(value, str) else ""
        if not text:
            return f"{self.argument} is blank."
        for mention in self.mentions:
            if not re.search(rf"(?<!\w){re.escape(mention)}(?!\w)", text):
                return f"{self.argument} does not mention {mention!r}."
        if self.question and not text.endswith("?"):
            return f"{self.argument} does not end as a question."
        return None


@dataclass(frozen=True, slots=True)
class Choice:
    """An argument with more than one right value; with `optional` it may be absent, too.

    With `loose`, texts are compared without regard to case, blanks, the marks `,./-_*^` and the kind of quotes; not
    every protocol does. With `nested`, `values` are all that is right, and an object among them holds a list of right
    values by each key, in which an empty text says that the key may be absent.
    """

    argument: str
    values: tuple[object, ...] = ()
    optional: bool = False
    loose: bool = False
    nested: bool = False


@dataclass(frozen=True, slots=True)
class Expected:
    """The right call, or the right calls.

    Attributes:
        tool: its name.
        arguments: its typed arguments (JSON values), as the reference answer gives them.
        files: text of each file that the call changes, by path, after the call.
        free_text: arguments that are compared by rule instead of by value.
        choices: arguments that have right values besides the one in `arguments`.
        further: calls that are due besides, in any order.
        no_call: no call is due; `tool` is only a label then.
    """

    tool: str
    arguments: Mapping[str, object] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    free_text: tuple[FreeText, ...] = ()
    choices: tuple[Choice, ...] = ()
    further: tuple[Expected, ...] = ()
    no_call: bool = False

    @property
    def due(self) -> tuple[Expected, ...]:
        """All calls that are due."""
        return () if self.no_call else (self, *self.further)


@dataclass(frozen=True, slots=True)
class Goal:
    """What must hold when a task of several turns is done; the completion itself always must.

    Attributes:
        files: text by path, None for a file that must be gone; files that are not named must be as they were.
        mentions: words that the completion's result must hold.
        tools: tools that must have done their work at least once.
        todos: the checklist, if it matters.
        calls: calls that must have done their work, each once and in any order; besides them only `tools` may do any.
            None where no call is asked for by its arguments. Only for protocols whose calls stand beside the text.
        todo_files: path by text of a checklist's item. After each turn, an item that is marked completed must have its
            file as `files` says.
    """

    files: Mapping[str, str | None] = field(default_factory=dict)
    mentions: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    todos: tuple[tuple[str, str], ...] | None = None
    calls: tuple[Expected, ...] | None = None
    todo_files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Case:
    """One situation, the task a person gives in it, and what is expected of the next answer.

    Attributes:
        case_id: unique within a suite or a pool.
        category: the skill that it asks for.
        tool: name of the expected tool.
        mode: slug of the current mode.
        task: what the person asks.
        files: text by path of the workspace files that matter.
        open_tabs: paths open in the editor.
        mcp: connected servers.
        todos: current checklist, (status, text) pairs.
        expected: the right call.
        template: id of the wording that the task was made from.
        reference: an answer that conforms.
        custom_modes: the client's own mode objects, if any.
        workspace: paths shown in the workspace listing.
        max_turns: answers that the model may give.
        history: answers that the client has dealt with before the model's first.
        solution: answers that solve a task of several turns, the first being `reference`.
        goal: what must hold at the end of a task of several turns.
        tools: function definitions in OpenAI's form, where the protocol has none of its own.
        results: what tools answer that do nothing by themselves, by name, or by name and canonical arguments
            (`session.call_key`), which goes first.
        denied_tools: tools that the user refuses.
        included_tools: opt-in tools that the settings of the model bring in.
        excluded_tools: tools that those settings do not offer, though the client would run them.
        needs_done_todos: the client refuses a completion while the checklist has an item that is not completed.
        effects: what functions of `tools` do to the files and the checklist, by name; others only answer.
        prompt: (role, content) of the messages before the task, where the protocol has no prompt of its own or the case
            was recorded from a client that has one.
        scoring: how an answer in plain text is scored, where the protocol has no calls.
    """

    case_id: str
    category: str
    tool: str
    mode: str
    task: str
    expected: Expected
    template: str
    reference: str
    files: Mapping[str, str] = field(default_factory=dict)
    open_tabs: tuple[str, ...] = ()
    mcp: tuple[McpServer, ...] = ()
    todos: tuple[tuple[str, str], ...] = ()
    custom_modes: tuple[Mapping[str, object], ...] = ()
    workspace: tuple[str, ...] = ()
    max_turns: int = 1
    history: tuple[Answer, ...] = ()
    solution: tuple[Answer, ...] = ()
    goal: Goal | None = None
    tools: tuple[Mapping[str, object], ...] = ()
    results: Mapping[str, str] = field(default_factory=dict)
    denied_tools: tuple[str, ...] = ()
    included_tools: tuple[str, ...] = ()
    excluded_tools: tuple[str, ...] = ()
    needs_done_todos: bool = False
    effects: Mapping[str, Effect] = field(default_factory=dict)
    prompt: tuple[tuple[str, str], ...] = ()
    scoring: Scoring | None = None
