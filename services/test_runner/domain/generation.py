"""Single generations: the answer to one conversation, or the continuation of one text."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from services.chassis.errors import InvalidArgument
from services.test_runner.domain.endpoint import Endpoint, check_stops
from services.test_runner.domain.transcript import Message

_ROLES = ("system", "user", "assistant", "tool", "developer")
_MAX_MESSAGES = 4096
_MAX_TOOLS = 1024
_MAX_CHARACTERS = 8 << 20
_MAX_TOKEN_IDS = 1 << 20
_MAX_SCHEMA = 1 << 18


@dataclass(frozen=True)
class Sampling:
    """How tokens are chosen; defaults and bounds stand in the contract."""

    MESSAGE: ClassVar = "drillyard.test_runner.v1.test_run_pb2.Sampling"

    temperature: float
    top_p: float
    top_k: int
    min_p: float
    max_new_tokens: int


@dataclass(frozen=True)
class TokenLogProb:
    """One token; `token_id` is -1 where it is not known, `log_prob` None where nothing precedes."""

    token: str
    token_id: int = -1
    log_prob: float | None = None
    top: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, kw_only=True)
class GenerationOrder:
    """What one call asks for: `messages` to answer, or else `prompt` or its token ids to continue as they are."""

    model_version_id: str = ""
    messages: tuple[Message, ...] = ()
    prompt: str = ""
    tools: tuple[Mapping[str, Any], ...] = ()
    sampling: Sampling
    stop: tuple[str, ...] = ()
    seed: int = 0
    log_probs: bool = False
    num_top_log_probs: int = 0
    endpoint: Endpoint | None = None
    echo: bool = False
    prompt_token_ids: tuple[int, ...] = ()
    read_calls: bool = False
    json_schema: str = ""

    def check(self) -> None:
        """Return when it can be answered.

        Raises:
            InvalidArgument: Something is missing, too long, or excludes another; the error names the field.
        """
        if self.endpoint is not None:
            self.endpoint.check()
        else:
            check_id("model_version_id", self.model_version_id)
        if self.prompt_token_ids:
            self._check_token_ids()
        else:
            check_conversation(self.messages, self.tools, self.prompt)
        check_stops("stop", self.stop)
        if len(self.json_schema) > _MAX_SCHEMA:
            raise InvalidArgument(
                f"The schema has more than {_MAX_SCHEMA} characters.", "Use a plainer one.", field="json_schema"
            )
        if self.echo and (not (self.prompt or self.prompt_token_ids) or self.endpoint is not None):
            raise InvalidArgument(
                "The prompt's own log-probabilities can only be told of a text and by the registry's weights.",
                "Send the text as prompt and name a model version, or leave echo out.",
                field="echo",
            )

    def _check_token_ids(self) -> None:
        if self.messages or self.prompt or self.tools:
            raise InvalidArgument(
                "The request has both token ids and something else to answer.",
                "Send the token ids alone.",
                field="prompt_token_ids",
            )
        if len(self.prompt_token_ids) > _MAX_TOKEN_IDS or min(self.prompt_token_ids) < 0:
            raise InvalidArgument(
                "The token ids are too many, or one is below 0.",
                f"Send at most {_MAX_TOKEN_IDS} ids.",
                field="prompt_token_ids",
            )


def check_id(field: str, value: str) -> None:
    """Return when an id is there.

    Raises:
        InvalidArgument: It is empty; the error names the field.
    """
    if not value:
        raise InvalidArgument(f"{field} is empty.", "Name a version that the registry lists.", field=field)


def parse_tools(texts: Iterable[str]) -> tuple[Mapping[str, Any], ...]:
    """Return function definitions in OpenAI's form from their JSON.

    Raises:
        InvalidArgument: One is none; the error names its place.
    """
    tools = []
    for place, text in enumerate(texts):
        tool = _parsed(text)
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise InvalidArgument(
                f"The tool {place} is not a function definition.",
                'Send each as {"type": "function", "function": {"name": …, "parameters": …}}.',
                field=f"tools[{place}]",
            )
        tools.append(tool)
    return tuple(tools)


def plain_tools(tools: Sequence[Mapping[str, object]]) -> tuple[dict[str, Any], ...]:
    """Return the definitions as plain objects: a profile's own may be read-only views, which JSON cannot write."""
    return tuple(json.loads(json.dumps(tools, default=dict)))


def check_conversation(messages: tuple[Message, ...], tools: tuple[Mapping[str, Any], ...], prompt: str = "") -> None:
    """Return when these messages and tools, or else this text, can be rendered.

    Raises:
        InvalidArgument: There are both or neither, too many, too long, or of an unknown role.
    """
    if bool(messages) == bool(prompt):
        raise InvalidArgument(
            "The request has both messages and a text." if prompt else "The request has nothing to answer.",
            "Send messages, or a prompt to continue.",
            field="messages",
        )
    if tools and prompt:
        raise InvalidArgument("A text to continue has no tools.", "Send messages instead.", field="tools")
    characters = len(prompt) + sum(message.size_bytes // 4 for message in messages)
    if len(messages) > _MAX_MESSAGES or len(tools) > _MAX_TOOLS or characters > _MAX_CHARACTERS:
        raise InvalidArgument("The conversation is too long.", "Send less than 8 MiB of text.", field="messages")
    for place, message in enumerate(messages):
        if message.role not in _ROLES:
            raise InvalidArgument(
                f"The message {place} has the role {message.role[:30]!r}.",
                f"Use one of {', '.join(_ROLES)}.",
                field=f"messages[{place}].role",
            )


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
