"""Request bodies of OpenAI's routes; fields that change nothing here are taken and left aside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

_MOST_STOPS = 16
_MOST_PROMPTS = 128
_MOST_TOOLS = 128
_MOST_TOKEN_IDS = 1 << 20
_OTHER_NAMES = ("parameters", "params", "args", "kwargs", "input")
_INT64 = 2**63
_DEEPEST = 100
MOST_CHOICES = 16
TokenIds = Annotated[
    list[Annotated[int, Field(strict=True, ge=0, lt=2**31)]], Field(min_length=1, max_length=_MOST_TOKEN_IDS)
]
Stop = str | Annotated[list[str], Field(max_length=_MOST_STOPS)] | None


class Sent(BaseModel):
    """What clients send: null says no more than a field that is absent."""

    @model_validator(mode="before")
    @classmethod
    def _leave_out_null(cls, sent: Any) -> Any:
        return {name: value for name, value in sent.items() if value is not None} if isinstance(sent, dict) else sent


class Part(BaseModel):
    """A part of a message; only text can be read."""

    type: str
    text: str = ""

    @field_validator("type")
    @classmethod
    def _read_text_only(cls, kind: str) -> str:
        if kind != "text":
            raise ValueError(f"a part of the type {kind[:40]!r} cannot be read, only text")
        return kind


class FunctionCall(Sent):
    """Name and raw arguments of a call."""

    name: str
    arguments: str = "{}"

    @model_validator(mode="before")
    @classmethod
    def _lose_no_arguments(cls, facts: Any) -> Any:
        others = [name for name in _OTHER_NAMES if isinstance(facts, dict) and facts.get(name)]
        if others:
            raise ValueError(f"the arguments of a call must stand as text in arguments, not in {others[0]}")
        return facts


class CallBody(Sent):
    """A function call in the conversation."""

    id: str = ""
    type: Literal["function"] = "function"
    function: FunctionCall


class MessageBody(Sent):
    """One turn of the conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[Part] | None = None
    tool_calls: list[CallBody] | None = None
    tool_call_id: str = ""

    @property
    def text(self) -> str:
        """Its text, parts joined."""
        if isinstance(self.content, list):
            return "".join(part.text for part in self.content)
        return self.content or ""


def shallow(sent: Any) -> Any:
    """Return what is read, unless turning it into text again would need more of the stack than there is."""
    level = [sent]
    for _ in range(_DEEPEST):
        nested = [value for value in level if isinstance(value, dict | list)]
        level = [each for value in nested for each in (value.values() if isinstance(value, dict) else value)]
        if not level:
            return sent
    raise ValueError(f"is nested deeper than {_DEEPEST} levels")


class FunctionBody(BaseModel):
    """A function that may be called."""

    model_config = ConfigDict(extra="allow")
    name: str = Field(min_length=1, max_length=64)
    parameters: dict[str, Any] | None = None


class ToolBody(BaseModel):
    """A tool: a function."""

    model_config = ConfigDict(extra="allow")
    type: Literal["function"]
    function: FunctionBody


class NamedFunction(BaseModel):
    """The function that must be called."""

    name: str


class NamedTool(BaseModel):
    """A tool that must be called."""

    type: Literal["function"]
    function: NamedFunction


def _tool_choice(value: Any) -> Any:
    """Return what is read, or say in one sentence what can be: of a union each of its members would say its own."""
    function = value.get("function") if isinstance(value, dict) and value.get("type") == "function" else None
    if isinstance(function, dict) and isinstance(function.get("name"), str):
        return NamedTool(type="function", function=NamedFunction(name=function["name"]))
    if value in ("none", "auto", "required"):
        return value
    raise ValueError("use none, auto, required, or a function by its name; other choices are not built")


class JsonSchema(BaseModel):
    """What an answer must fit; it is held to it whether or not it says `strict`."""

    name: str = Field(max_length=64)
    json_schema: Annotated[dict[str, Any], BeforeValidator(shallow)] = Field(alias="schema")


class ResponseFormat(Sent):
    """What an answer is: text, any JSON object, or JSON by a schema."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None

    @model_validator(mode="after")
    def _say_the_schema(self) -> Self:
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise ValueError("json_schema and the type json_schema need each other")
        return self


class StreamOptions(BaseModel):
    """What a stream tells besides the answer."""

    include_usage: bool = False


class SamplingBody(Sent):
    """What both routes take; `top_k` and `min_p` are this server's additions."""

    model: str = Field(min_length=1, max_length=300, examples=["smollm2-135m-instruct@1"])
    temperature: float = Field(default=1.0, ge=0, le=10, description="0 is greedy.")
    top_p: float = Field(default=1.0, gt=0, le=1)
    top_k: int = Field(default=0, ge=0, lt=2**31)
    min_p: float = Field(default=0.0, ge=0, le=1)
    seed: int | None = Field(default=None, ge=-_INT64, lt=_INT64, description="Absent: a new one each time.")
    stop: Stop = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    n: int = Field(default=1, ge=1, le=MOST_CHOICES, description="Answers; the seed of each is one above the last.")
    frequency_penalty: float = Field(default=0.0, ge=0, le=0, description="Not built.")
    presence_penalty: float = Field(default=0.0, ge=0, le=0, description="Not built.")
    logit_bias: Annotated[dict[str, float], Field(max_length=0)] | None = Field(default=None, description="Not built.")

    @property
    def stops(self) -> list[str]:
        """Texts at which the answer ends."""
        texts = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return [item for item in texts if item]

    @property
    def tells_usage(self) -> bool:
        """Whether a stream ends with the number of tokens."""
        return self.stream_options is not None and self.stream_options.include_usage


class ChatBody(SamplingBody):
    """A conversation to answer."""

    messages: list[MessageBody] = Field(min_length=1)
    tools: Annotated[list[ToolBody], Field(max_length=_MOST_TOOLS), BeforeValidator(shallow)] | None = None
    tool_choice: Annotated[Literal["none", "auto", "required"] | NamedTool | None, BeforeValidator(_tool_choice)] = None
    parallel_tool_calls: bool = Field(default=True, description="Without it an answer has one call at most.")
    max_tokens: int | None = Field(default=None, ge=1, lt=2**31)
    max_completion_tokens: int | None = Field(default=None, ge=1, lt=2**31)
    logprobs: bool | None = False
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    response_format: ResponseFormat | None = None
    store: bool | None = Field(default=False, description="Keep the answer for a month, so that feedback can name it.")
    metadata: Annotated[dict[str, str], Field(max_length=16)] | None = Field(
        default=None, description="Kept with a stored answer."
    )

    @model_validator(mode="after")
    def _ask_for_both(self) -> Self:
        if self.top_logprobs and not self.logprobs:
            raise ValueError("top_logprobs needs logprobs to be true")
        return self

    @model_validator(mode="after")
    def _ask_for_one_form(self) -> Self:
        names = [tool.function.name for tool in self.tools or []]
        if isinstance(self.tool_choice, NamedTool) and self.tool_choice.function.name not in names:
            raise ValueError(f"tool_choice names {self.tool_choice.function.name[:80]!r}, which is none of the tools")
        if self.tool_choice == "required" and not names:
            raise ValueError("tool_choice is required, and there are no tools")
        if self.is_json and self.offered:
            raise ValueError(
                "response_format asks for JSON and tools for calls: set tool_choice to none, or leave one out"
            )
        if self.store and self.n > 1:
            raise ValueError("store keeps one answer: leave n at 1")
        return self

    @property
    def is_json(self) -> bool:
        """Whether the answer's text is to be JSON."""
        return self.response_format is not None and self.response_format.type != "text"

    @property
    def offered(self) -> list[ToolBody]:
        """The tools that the model is told of."""
        return (self.tools or []) if self.tool_choice != "none" else []


class CompletionBody(SamplingBody):
    """A text to continue, or several, each as text or as token ids."""

    prompt: (
        str
        | Annotated[list[str], Field(min_length=1, max_length=_MOST_PROMPTS)]
        | TokenIds
        | Annotated[list[TokenIds], Field(min_length=1, max_length=_MOST_PROMPTS)]
    )
    max_tokens: int | None = Field(default=16, ge=0, lt=2**31, description="0 only with `echo`.")
    echo: bool | None = False
    logprobs: int | None = Field(default=None, ge=0, le=20)
    best_of: Literal[1] | None = None
    suffix: Literal[""] | None = None

    @model_validator(mode="after")
    def _answer_something(self) -> Self:
        if self.max_tokens == 0 and not self.echo:
            raise ValueError("max_tokens 0 needs echo, or there is nothing to answer")
        return self

    @property
    def prompts(self) -> Sequence[str | list[int]]:
        """Each text, or each list of token ids, to continue."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        token_ids = [item for item in self.prompt if isinstance(item, int)]
        return [token_ids] if token_ids else [item for item in self.prompt if not isinstance(item, int)]


def plain(tool: ToolBody) -> dict[str, Any]:
    """Return a function definition as it was sent."""
    return tool.model_dump(exclude_unset=True)
