"""What a generation worker and its parent say, one JSON object per line that is not trusted; imports no torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from services.lm.errors import LmError

MAX_LINE_BYTES: Final = 64 << 20
T = TypeVar("T")

Int64 = Annotated[int, Field(ge=-(1 << 63), lt=1 << 63)]
Text = Annotated[str, Field(max_length=8 << 20)]
Tools = Annotated[tuple[Mapping[str, Any], ...], Field(max_length=1024)]
FinishReason = Literal["stop", "length", "context_overflow", "template_fault"]
ErrorCode = Literal["invalid_argument", "resource_exhausted", "internal"]
# The likeliest tokens at one place, likeliest first: their text and log-probability.
TopLogProbs = tuple[tuple[str, float], ...]


class InvalidLine(LmError):
    """A line that is not a message of this protocol."""


class _Checked:
    __pydantic_config__ = ConfigDict(strict=True, extra="forbid", ser_json_inf_nan="constants")


@dataclass(frozen=True)
class Prompt(_Checked):
    """One conversation to answer, or one text to continue.

    Attributes:
        key: Names it in the answers and, with `seed`, fixes what is sampled.
        messages: The conversation in OpenAI's form; empty when `text` is given.
        max_new_tokens: The answer's limit; 0 only where the prompt's own log-probabilities are asked for.
        seed: Another seed, other samples.
        tools: OpenAI function definitions, rendered as the model's chat template does.
        text: Raw text to continue instead of messages; `token_ids` are the same as token ids.
        stop: The answer ends before the first of these; its token ids end with the one that completed it.
        conversation: Prompts of one conversation continue from the keys and values of the turn before.
        echo_from: Place of the first of the prompt's tokens whose log-probability is told, where they are.
        json_schema: The answer's text is JSON that fits it; empty for any text.
    """

    key: Annotated[str, Field(max_length=1024)]
    messages: tuple[Mapping[str, Any], ...]
    max_new_tokens: Annotated[int, Field(ge=0, le=1 << 20)]
    seed: Int64 = 0
    tools: Tools = ()
    text: Text = ""
    stop: Annotated[tuple[Annotated[str, Field(min_length=1, max_length=1024)], ...], Field(max_length=16)] = ()
    conversation: Annotated[str, Field(max_length=1024)] = ""
    token_ids: Annotated[tuple[Annotated[int, Field(ge=0, lt=1 << 31)], ...], Field(max_length=1 << 20)] = ()
    echo_from: Annotated[int, Field(ge=0, le=1 << 20)] = 0
    json_schema: Annotated[str, Field(max_length=1 << 18)] = ""


@dataclass(frozen=True)
class Sampling(_Checked):
    """How tokens are chosen: temperature 0 is greedy; `top_p` 1, `top_k` 0 and `min_p` 0 leave every token in.

    `min_p` leaves out tokens less likely than this share of the likeliest one's probability.
    """

    temperature: Annotated[float, Field(ge=0, le=10)] = 0.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    top_k: Annotated[int, Field(ge=0, le=1 << 20)] = 0
    min_p: Annotated[float, Field(ge=0, le=1)] = 0.0


@dataclass(frozen=True)
class Generate(_Checked):
    """Answer all `prompts`, which are one window: what is computed together depends on them alone.

    Attributes:
        id: Names the request in every event that answers it.
        prompts: At least one, each with a key of its own.
        sampling: The same for all.
        max_batch: Bounds how many are decoded at once (0: the worker's own choice).
        log_probs: Give that of each token that was written; `num_top_log_probs` of as many likeliest ones as well.
        echo: Give the log-probabilities of the prompt's own tokens.
        stream: Send a `Delta` with each piece of text as it is written.
    """

    id: Int64
    prompts: Annotated[tuple[Prompt, ...], Field(min_length=1)]
    sampling: Sampling = field(default_factory=Sampling)
    max_batch: Annotated[int, Field(ge=0, le=4096)] = 0
    log_probs: bool = False
    num_top_log_probs: Annotated[int, Field(ge=0, le=20)] = 0
    echo: bool = False
    stream: bool = False
    op: Literal["generate"] = "generate"


@dataclass(frozen=True)
class Preview(_Checked):
    """Show how `messages` and `tools`, `answered` or not, are rendered, or how `text` is divided into tokens."""

    id: Int64
    messages: tuple[Mapping[str, Any], ...] = ()
    tools: Tools = ()
    text: Text = ""
    answered: bool = False
    op: Literal["preview"] = "preview"


@dataclass(frozen=True)
class Cancel(_Checked):
    """End the request `id`; it is answered by its `Done` with `cancelled` set."""

    id: Int64
    op: Literal["cancel"] = "cancel"


@dataclass(frozen=True)
class Ready(_Checked):
    """The worker has loaded its model; the first line it writes."""

    dtype: str
    threads: int
    model_digest: str
    adapter_digest: str
    chat_template_digest: str
    max_positions: int
    library_versions: Mapping[str, str]
    load_seconds: float
    device: str = "cpu"
    event: Literal["ready"] = "ready"


@dataclass(frozen=True)
class Answer(_Checked):
    """One finished sequence; what was not asked for is empty.

    Attributes:
        text: Without special tokens, and cut before the text of `stop` that ended it, which is `stop_text`.
        token_ids: As written: with the end-of-turn token, or the token that completed a stop text.
        cached_tokens: How many of `prompt_tokens` were not computed for this sequence alone.
        prefill_seconds: Its own share of the batch's time, as `decode_seconds`.
        detail: Why nothing was computed.
        tokens: The text of each of `token_ids`; `log_probs` are before temperature and filters, as the others.
        top_log_probs: At each place, the likeliest tokens.
        queue_seconds: From the request to its first computation.
        prompt_log_probs: Of each of the prompt's tokens; None for the first, which nothing precedes.
        prompt_token_ids: The prompt's tokens, `prompt_tokens_text` their text.
        prompt_top_log_probs: At each of the prompt's places, the likeliest tokens; empty at the first.
    """

    id: int
    key: str
    text: str
    token_ids: tuple[int, ...]
    finish_reason: FinishReason
    prompt_tokens: int
    cached_tokens: int
    prefill_seconds: float
    decode_seconds: float
    detail: str = ""
    log_probs: tuple[float, ...] = ()
    tokens: tuple[str, ...] = ()
    top_log_probs: tuple[TopLogProbs, ...] = ()
    queue_seconds: float = 0.0
    stop_text: str = ""
    prompt_log_probs: tuple[float | None, ...] = ()
    prompt_token_ids: tuple[int, ...] = ()
    prompt_tokens_text: tuple[str, ...] = ()
    prompt_top_log_probs: tuple[TopLogProbs, ...] = ()
    event: Literal["answer"] = "answer"


@dataclass(frozen=True)
class Delta(_Checked):
    """What a sequence has got since the `Delta` before; put together, its parts are the answer's.

    `text` is empty while a character or a possible stop text is not complete yet.
    """

    id: int
    key: str
    text: str
    token_ids: tuple[int, ...]
    log_probs: tuple[float, ...] = ()
    tokens: tuple[str, ...] = ()
    top_log_probs: tuple[TopLogProbs, ...] = ()
    event: Literal["delta"] = "delta"


@dataclass(frozen=True)
class Progress(_Checked):
    """Sent about every second while sequences are decoded: tokens so far, sequences in the batch and waiting."""

    id: int
    tokens: int
    active: int
    waiting: int
    event: Literal["progress"] = "progress"


@dataclass(frozen=True)
class Done(_Checked):
    """The request is over; every answer has been sent before."""

    id: int
    tokens: int
    seconds: float
    cancelled: bool = False
    event: Literal["done"] = "done"


@dataclass(frozen=True)
class Previewed(_Checked):
    """The rendered prompt, its token ids, and the text of each token; of an answered one the ids alone."""

    id: int
    text: str
    token_ids: tuple[int, ...]
    tokens: tuple[str, ...] = ()
    num_prompt_tokens: int = 0
    event: Literal["previewed"] = "previewed"


@dataclass(frozen=True)
class Failed(_Checked):
    """The request, or with id 0 the worker itself, could not go on."""

    id: int
    code: ErrorCode
    problem: str
    next_step: str
    event: Literal["error"] = "error"


Request = Generate | Preview | Cancel
Event = Ready | Answer | Delta | Progress | Done | Previewed | Failed
_REQUEST: Final[TypeAdapter[Request]] = TypeAdapter(Annotated[Request, Field(discriminator="op")])
_EVENT: Final[TypeAdapter[Event]] = TypeAdapter(Annotated[Event, Field(discriminator="event")])


def encode(message: Request | Event) -> bytes:
    """The message as one line of UTF-8 JSON.

    Raises:
        InvalidLine: A text holds half a surrogate pair, which has no UTF-8 form.
    """
    adapter: TypeAdapter[Any] = _REQUEST if isinstance(message, Request) else _EVENT
    try:
        return adapter.dump_json(message) + b"\n"
    except PydanticSerializationError as error:
        raise _invalid("holds half of a character") from error


def decode_request(line: bytes) -> Request:
    """The request in one line that a parent wrote.

    Raises:
        InvalidLine: It is none, or a value is of the wrong type or out of range.
    """
    request = _decode(_REQUEST, line)
    if isinstance(request, Generate):
        if len({prompt.key for prompt in request.prompts}) != len(request.prompts):
            raise _invalid("has two prompts of one key")
        if not request.echo and not all(prompt.max_new_tokens for prompt in request.prompts):
            raise _invalid("has a max_new_tokens of 0, which goes with echo alone")
        for prompt in request.prompts:
            _check_content(prompt, prompt.token_ids)
    elif isinstance(request, Preview):
        _check_content(request)
    return request


def decode_event(line: bytes) -> Event:
    """The event in one line that a worker wrote; raises as `decode_request` does."""
    return _decode(_EVENT, line)


def _decode(adapter: TypeAdapter[T], line: bytes) -> T:
    try:
        return adapter.validate_json(line)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, fault["loc"])) or "its beginning"
        raise _invalid(f"does not fit at {place}: {fault['msg']}") from error


def _check_content(prompt: Prompt | Preview, token_ids: tuple[int, ...] = ()) -> None:
    if sum(map(bool, (prompt.messages, prompt.text, token_ids))) != 1:
        raise _invalid("has not exactly one of messages, text and token_ids")
    if prompt.tools and not prompt.messages:
        raise _invalid("has tools that nothing renders")


def _invalid(why: str) -> InvalidLine:
    return InvalidLine(f"The line {why}.", "Send one JSON object per line as worker_protocol describes.")
