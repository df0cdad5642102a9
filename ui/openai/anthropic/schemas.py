"""Request bodies in Anthropic's shape, and what they ask for in OpenAI's; fields that change nothing are left aside."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from fastapi.exceptions import RequestValidationError
from pydantic import BeforeValidator, Field, ValidationError, field_validator

from ui.openai.schemas import ChatBody, Part, Sent, shallow

_THOUGHTS = ("thinking", "redacted_thinking")
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}
Object = Annotated[dict[str, Any], BeforeValidator(shallow)]


class Block(Sent):
    """A part of a turn; what a model thought is taken and left aside."""

    type: str
    text: str = ""
    id: str = ""
    name: str = ""
    input: Object = Field(default_factory=dict)
    tool_use_id: str = ""
    content: str | list[Part] = ""

    @field_validator("type")
    @classmethod
    def _read_what_can_be(cls, kind: str) -> str:
        if kind not in ("text", "tool_use", "tool_result", *_THOUGHTS):
            raise ValueError(f"a block of the type {kind[:40]!r} cannot be read, only text, tool_use and tool_result")
        return kind


class Turn(Sent):
    """One turn of the conversation."""

    role: Literal["user", "assistant", "system"]
    content: str | list[Block]

    @property
    def blocks(self) -> list[Block]:
        """Its parts."""
        return [Block(type="text", text=self.content)] if isinstance(self.content, str) else self.content


class Tool(Sent):
    """A function that may be called."""

    type: Literal["custom"] = "custom"
    name: str = Field(min_length=1, max_length=64)
    description: str = ""
    input_schema: Object

    @field_validator("type", mode="before")
    @classmethod
    def _take_functions_only(cls, kind: Any) -> Any:
        if kind != "custom":
            raise ValueError(
                f"the tool {str(kind)[:40]!r} is one of Anthropic's servers; only functions can be offered"
            )
        return kind


class ToolChoice(Sent):
    """Whether a call must come, and of which function."""

    type: Literal["auto", "any", "tool", "none"]
    name: str = ""
    disable_parallel_tool_use: bool = False

    @property
    def in_openai(self) -> Any:
        """The choice as a chat has it."""
        return _CHOICES.get(self.type) or {"type": "function", "function": {"name": self.name}}


class OutputFormat(Sent):
    """What the answer's text must fit."""

    type: Literal["json_schema"]
    json_schema: Object = Field(alias="schema")


class OutputConfig(Sent):
    """How the answer is written."""

    format: OutputFormat | None = None


class Thinking(Sent):
    """Whether the model thinks before it answers; it may leave that out."""

    type: str

    @field_validator("type")
    @classmethod
    def _refuse_enabled(cls, kind: str) -> str:
        if kind == "enabled":
            raise ValueError("thinking of a set length is not built; leave it out, or use adaptive")
        return kind


class MessagesBody(Sent):
    """A conversation to answer."""

    model: str = Field(min_length=1, max_length=300, examples=["smollm2-135m-instruct@1"])
    max_tokens: int = Field(ge=1, lt=2**31)
    messages: list[Turn] = Field(min_length=1)
    system: str | list[Part] = ""
    tools: list[Tool] = Field(default_factory=list)
    tool_choice: ToolChoice = ToolChoice(type="auto")
    stop_sequences: list[str] = Field(default_factory=list)
    stream: bool = False
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    thinking: Thinking | None = None
    output_config: OutputConfig = OutputConfig()

    @field_validator("messages")
    @classmethod
    def _end_with_what_is_answered(cls, turns: list[Turn]) -> list[Turn]:
        if turns[-1].role == "assistant":
            raise ValueError("the last turn is the assistant's: an answer that is begun cannot be gone on with here")
        return turns

    def chat(self) -> ChatBody:
        """Return what is asked for, as a chat.

        Raises:
            RequestValidationError: A chat cannot ask for it.
        """
        asked: dict[str, Any] = {
            "model": self.model,
            "messages": [*_system(self.system), *(message for turn in self.messages for message in _messages(turn))],
            "max_tokens": self.max_tokens,
            "stop": self.stop_sequences,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "top_k": self.top_k,
            "tools": [_function(tool) for tool in self.tools],
            "parallel_tool_calls": not self.tool_choice.disable_parallel_tool_use,
        }
        if self.tools or self.tool_choice.type in ("any", "tool"):
            asked["tool_choice"] = self.tool_choice.in_openai
        if self.output_config.format:
            form = {"name": "answer", "schema": self.output_config.format.json_schema}
            asked["response_format"] = {"type": "json_schema", "json_schema": form}
        try:
            return ChatBody.model_validate(asked)
        except ValidationError as error:
            raise RequestValidationError(error.errors()) from error


class CountBody(MessagesBody):
    """A conversation to count, which names no longest answer."""

    max_tokens: int = Field(default=1, ge=1, lt=2**31)


def _text(parts: str | Sequence[Part]) -> str:
    return parts if isinstance(parts, str) else "".join(part.text for part in parts)


def _system(system: str | list[Part]) -> list[dict[str, Any]]:
    text = _text(system)
    return [{"role": "system", "content": text}] if text else []


def _messages(turn: Turn) -> Iterator[dict[str, Any]]:
    """Yield a turn as messages: results of calls are some of their own, before what the person says beside them."""
    for block in turn.blocks:
        if block.type == "tool_result":
            yield {"role": "tool", "tool_call_id": block.tool_use_id, "content": _text(block.content)}
    texts = [block.text for block in turn.blocks if block.type == "text"]
    calls = [_call(block) for block in turn.blocks if block.type == "tool_use"]
    if texts or calls or not turn.blocks:
        yield {"role": turn.role, "content": "".join(texts), "tool_calls": calls or None}


def _call(block: Block) -> dict[str, Any]:
    return {
        "id": block.id,
        "type": "function",
        "function": {"name": block.name, "arguments": json.dumps(block.input, ensure_ascii=False)},
    }


def _function(tool: Tool) -> dict[str, Any]:
    described = {"description": tool.description} if tool.description else {}
    return {"type": "function", "function": {"name": tool.name, **described, "parameters": tool.input_schema}}
