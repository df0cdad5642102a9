"""What generates answers."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from services.test_runner.domain.endpoint import Departure, Endpoint
from services.test_runner.domain.generation import Sampling, TokenLogProb
from services.test_runner.domain.scoring import AnswerRow, AnswerScore
from services.test_runner.domain.test_run import Artifact, Environment, Form, TestRunPhase
from services.test_runner.domain.transcript import FinishReason, Message, ToolCall
from services.test_runner.ports.registry import ResolvedModel


@dataclass(frozen=True)
class Prompt:
    """One conversation to answer, or one text to continue; `key` names it among the answers.

    Attributes:
        tools: function definitions in OpenAI's form.
        text: what is continued instead of `messages`.
        token_ids: the same as token ids, instead of `text`.
        stop: texts at which the answer ends.
        conversation: prompts of one conversation continue where the one before ended.
        timeout_seconds: most time for the answer; 0 for no limit.
        echo_from: place of the first of the prompt's tokens whose log-probability is told, where they are.
        json_schema: what the answer's text is held to; empty for nothing.
    """

    key: str
    messages: tuple[Message, ...]
    seed: int
    tools: tuple[Mapping[str, Any], ...] = ()
    text: str = ""
    stop: tuple[str, ...] = ()
    conversation: str = ""
    timeout_seconds: float = 0.0
    token_ids: tuple[int, ...] = ()
    echo_from: int = 0
    json_schema: str = ""

    @property
    def size_bytes(self) -> int:
        """About what it takes in memory."""
        return len(self.text) + 8 * len(self.token_ids) + sum(message.size_bytes for message in self.messages)


@dataclass(frozen=True)
class Workload:
    """What a backend is to answer, and with which weights, or at which endpoint.

    `num_threads` 0, an empty `dtype` and an empty `device` leave the choice to the backend. With `stream` there is a
    `Delta` for each piece of text.
    """

    base: Artifact | None
    adapter: Artifact | None
    prompts: tuple[Prompt, ...]
    sampling: Sampling
    dtype: str = ""
    num_threads: int = 0
    endpoint: Endpoint | None = None
    log_probs: bool = False
    num_top_log_probs: int = 0
    echo: bool = False
    stream: bool = False
    device: str = ""
    test_run_id: str = ""
    caller: str = ""
    form: Form = Form.FOLDER
    num_context_tokens: int = 0

    @property
    def limit_seconds(self) -> float | None:
        """Most time for all answers once the model is loaded; None where each prompt has a clock of its own."""
        # Prompts of a worker are computed together, so none can be told to be late; together they have all their time.
        return None if self.endpoint else sum(prompt.timeout_seconds for prompt in self.prompts)


@dataclass(frozen=True)
class Answer:
    """The answer to one prompt.

    Attributes:
        calls: functions that an endpoint says are called; calls that the text holds are not among them.
        detail: why nothing was generated, or what is odd about how the answer came.
        stop_text: which of the prompt's `stop` ended it; empty where none did, or its server does not say.
        departures: in what its server departs from OpenAI's form.
        tokens: the answer's tokens with their log-probabilities, when asked for.
        prompt_tokens: the prompt's, when asked for.
    """

    key: str
    text: str
    finish_reason: FinishReason
    token_ids: tuple[int, ...] = ()
    num_prompt_tokens: int = 0
    num_cached_tokens: int = 0
    prefill_seconds: float = 0.0
    decode_seconds: float = 0.0
    queue_seconds: float = 0.0
    num_generated_tokens: int = 0
    detail: str = ""
    stop_text: str = ""
    calls: tuple[ToolCall, ...] = ()
    tokens: tuple[TokenLogProb, ...] = ()
    prompt_tokens: tuple[TokenLogProb, ...] = ()
    departures: tuple[Departure, ...] = ()


@dataclass(frozen=True)
class Delta:
    """What an answer has got since the `Delta` before."""

    key: str
    text: str
    tokens: tuple[TokenLogProb, ...] = ()


@dataclass(frozen=True)
class Activity:
    """A sign of life: the phase, tokens of this workload so far, sequences in work."""

    phase: TestRunPhase
    num_tokens: int = 0
    num_active: int = 0


@dataclass(frozen=True)
class Prepared:
    """The model is loaded, or its server answers; sent before the first answer."""

    environment: Environment = field(default_factory=Environment)


GenerationEvent = Activity | Prepared | Delta | Answer


@dataclass(frozen=True)
class Rendered:
    """The exact text that a model reads, its token ids, and the text of each token."""

    text: str
    token_ids: tuple[int, ...]
    tokens: tuple[str, ...]


class BackendFaultError(Exception):
    """The backend broke while it worked; the same workload may succeed when tried again."""


class GenerationBackend(Protocol):
    """Generates answers. Closing the stream early stops the work."""

    def generate(self, workload: Workload) -> AsyncGenerator[GenerationEvent]:
        """Yield `Prepared`, then every answer as it is finished, with activity between.

        Raises:
            BackendFaultError: The backend broke; answers that were yielded are good.
            ServiceError: The workload cannot be served however often it is tried.
        """
        ...


class PromptRenderer(Protocol):
    """Renders prompts by a model's own tokenizer."""

    async def render(self, model: ResolvedModel, prompt: Prompt) -> Rendered:
        """Return what the model reads.

        Raises:
            BackendFaultError: The backend broke.
            ServiceError: The model's template refuses the messages.
        """
        ...


class EndpointRenderer(Protocol):
    """Has prompts rendered where a model is served."""

    async def render(self, endpoint: Endpoint, prompt: Prompt) -> Rendered:
        """Return what the served model reads; the text is empty where its server does not tell it.

        Raises:
            InvalidArgument: The server refuses the messages.
            FailedPrecondition: It does not tell token ids.
            Unavailable: It does not answer.
        """
        ...


class AnswerScorer(Protocol):
    """Scores given answers by a model's own weights."""

    def score(self, model: ResolvedModel, rows: Sequence[AnswerRow], max_tokens: int) -> AsyncGenerator[AnswerScore]:
        """Yield the score of each row as it is finished, of each answer the first `max_tokens` tokens.

        Raises:
            BackendFaultError: The backend broke.
            ServiceError: A row cannot be scored.
        """
        ...


class EndpointPolicy(Protocol):
    """Which endpoints may be asked, and with which keys."""

    def check(self, endpoint: Endpoint) -> None:
        """Return when the endpoint's host is allowed and its secret is there.

        Raises:
            PermissionDenied: The operator does not allow the host.
            FailedPrecondition: There is no secret of that name.
        """
        ...
