"""One turn between a model and its client: what the model answers, what the client knows, what it does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NotRequired, TypedDict

FinishReason = Literal["stop", "length"]
CallVerdict = Literal["accepted", "failed", "skipped"]
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_ID_DIGITS = 4


class Function(TypedDict):
    """Name and raw arguments of a function call."""

    name: str
    arguments: str


class CallMessage(TypedDict):
    """One function call within a message."""

    id: str
    type: Literal["function"]
    function: Function


class Message(TypedDict):
    """One chat message in OpenAI's form; `tool_call_id` names the call that a message of the role `tool` answers."""

    role: str
    content: str
    tool_calls: NotRequired[list[CallMessage]]
    tool_call_id: NotRequired[str]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function call beside the text, as the model wrote it.

    Attributes:
        arguments: raw text, meant to be JSON.
        span: its place in the text that it was read from, where calls are written as text.
    """

    name: str
    arguments: str = ""
    call_id: str = ""
    span: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model answered in one turn.

    Attributes:
        text: its text; the whole answer where calls are written as text.
        calls: its function calls, in order; none where the protocol has no such thing.
        finish_reason: `length` when the token limit ended the answer.
    """

    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    finish_reason: FinishReason = "stop"


@dataclass(frozen=True, slots=True)
class CallOutcome:
    """What the client made of one call.

    Attributes:
        tool: name as the answer writes it.
        verdict: `accepted` when the tool did or offered its work, `failed` when it was answered with an error,
            `skipped` when the client did not look at it.
        codes: what the client remarked, in stable words such as `missing_param:path` or `denied_by_user`.
        reply: text that the model gets for the call; empty where the client says nothing.
        call_id: id of the function call that it answers, if it has one.
        title: how the client heads the reply, where it does.
        is_partial: some of the call's work was not done, which the client's answer does not tell.
    """

    tool: str
    verdict: CallVerdict
    codes: tuple[str, ...] = ()
    reply: str = ""
    call_id: str = ""
    title: str = ""
    is_partial: bool = False


@dataclass(frozen=True, slots=True)
class TurnOutcome:
    """What the client made of one answer; what it remembers of it is in the `ClientState`.

    Attributes:
        calls: one outcome per attempted call; none when the answer used no tool.
        turn_failed: a tool failed in a way that forbids completion in the same turn.
        attempts: complete calls that reached their checks, by tool.
        failures: failures that the client records, by tool.
        completed: the result that an accepted completion told; None while the task goes on.
        codes: what the client remarked on an answer without a call: `no_tool`, `empty_answer`, `answer_too_long`.
    """

    calls: tuple[CallOutcome, ...] = ()
    turn_failed: bool = False
    attempts: Mapping[str, int] = field(default_factory=dict)
    failures: Mapping[str, int] = field(default_factory=dict)
    completed: str | None = None
    codes: tuple[str, ...] = ()

    @property
    def used_tool(self) -> bool:
        """Whether the client saw a call at all."""
        return bool(self.calls)


@dataclass(frozen=True, slots=True)
class McpServer:
    """A connected server and the names of its tools."""

    name: str
    tools: tuple[str, ...]


EffectKind = Literal["read", "search", "write", "replace", "checklist"]


@dataclass(frozen=True, slots=True)
class Effect:
    """What a function of the case's own does to the files or to the checklist.

    Attributes:
        kind: `read` tells the text of the file `path`; `search` the paths of the files that hold `text`, whatever its
            case; `write` makes `text` the whole file; `replace` puts `new` for the one place where `old` stands;
            `checklist` takes `items`, objects with a `text` and a `status`, for the checklist.
        arguments: name of the function's parameter by what it is for, in the words above.
    """

    kind: EffectKind
    arguments: Mapping[str, str]


@dataclass(slots=True)
class ClientState:
    """What the client remembers from turn to turn. A profile's dispatcher changes it in place.

    Attributes:
        mode: slug of the current mode.
        files: text by path of the workspace files whose text is known; edits land here.
        paths: further paths that exist.
        todos: checklist as (status, text) pairs; None while there is none.
        mistakes: consecutive mistakes.
        turns_without_tool: turns in a row that used no tool.
        last_call: canonical form of the last call, for the repetition check.
        identical_calls: how often `last_call` came in a row.
        denied_tools: tools that the user refuses.
        mistake_limit: mistakes, and identical calls, that the client bears.
        fuzzy_threshold: similarity from which a diff's block matches, 0 to 1.
        results: what tools answer that do nothing by themselves, by call (see `Case.results`).
        tools: function definitions in OpenAI's form that the model was offered, where a case brings its own.
        effects: what those functions do, by name (see `Case.effects`).
        included_tools: opt-in tools that the model's settings bring in.
        needs_done_todos: a completion is refused while the checklist has an item that is not completed.
    """

    mode: str = "code"
    files: dict[str, str] = field(default_factory=dict)
    paths: frozenset[str] = frozenset()
    mcp: tuple[McpServer, ...] = ()
    custom_modes: Sequence[Mapping[str, object]] = ()
    model_id: str = "local-model"
    todos: list[tuple[str, str]] | None = None
    mistakes: int = 0
    turns_without_tool: int = 0
    last_call: str = ""
    identical_calls: int = 0
    denied_tools: frozenset[str] = frozenset()
    requirements: Mapping[str, bool] = field(default_factory=dict)
    mistake_limit: int = 3
    fuzzy_threshold: float = 1.0
    results: Mapping[str, str] = field(default_factory=dict)
    tools: Sequence[Mapping[str, object]] = ()
    effects: Mapping[str, Effect] = field(default_factory=dict)
    included_tools: frozenset[str] = frozenset()
    needs_done_todos: bool = False


def call_id_of(turn: int, place: int) -> str:
    """Return an id for a call that has none: nine letters and digits, as the strictest chat templates ask.

    `turn` counts the answers before, `place` the calls before it in its answer.
    """
    return f"c{_in_base_36(turn)}{_in_base_36(place)}"


def with_answer(messages: Sequence[Message], answer: Answer) -> list[Message]:
    """Return the conversation that `answer` ends."""
    turn = sum(message["role"] == "assistant" for message in messages)
    return [*messages, assistant_message(answer, turn)]


def _in_base_36(number: int) -> str:
    digits = ""
    for _ in range(_ID_DIGITS):
        number, digit = divmod(number, len(_DIGITS))
        digits = _DIGITS[digit] + digits
    return digits


def assistant_message(answer: Answer, turn: int = 0) -> Message:
    """Return `answer` as a message, the answer `turn` of its conversation.

    Calls without an id are numbered, calls that the text holds stay in it.
    """
    message: Message = {"role": "assistant", "content": answer.text}
    if any(call.span is None for call in answer.calls):
        message["tool_calls"] = [
            {
                "id": call.call_id or call_id_of(turn, number),
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for number, call in enumerate(answer.calls)
            if call.span is None
        ]
    return message
