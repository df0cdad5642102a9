"""What a parent asks of a generation worker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Prompt:
    """One conversation to answer, or one text to continue.

    Attributes:
        key: Names it in the answers and, with `seed`, fixes what is sampled.
        messages: The conversation in OpenAI's form; empty when `text` is given.
        max_new_tokens: The answer's limit; 0 only where the prompt's own log-probabilities are asked for.
        seed: Another seed, other samples.
        tools: OpenAI function definitions, rendered as the model's chat template does.
        text: Raw text to continue instead of messages.
        stop: The answer ends before the first of these; its token ids end with the token that completed it.
        conversation: Prompts of one conversation continue from the keys and values of the turn before.
        token_ids: Raw token ids to continue instead of messages or a text.
    """

    key: str
    messages: tuple[Mapping[str, Any], ...]
    max_new_tokens: int
    seed: int = 0
    tools: tuple[Mapping[str, Any], ...] = ()
    text: str = ""
    stop: tuple[str, ...] = ()
    conversation: str = ""
    token_ids: tuple[int, ...] = ()


@dataclass(frozen=True)
class Sampling:
    """How tokens are chosen: temperature 0 is greedy; `top_p` 1, `top_k` 0 and `min_p` 0 leave every token in.

    `min_p` leaves out tokens less likely than this share of the likeliest one's probability.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0


@dataclass(frozen=True)
class Generate:
    """Answer all `prompts`, which are one window: what is computed together depends on them alone.

    Attributes:
        id: Names the request in every event that answers it.
        prompts: At least one, each with a key of its own.
        sampling: The same for all.
        max_batch: Bounds how many are decoded at once (0: the worker's own choice).
        log_probs: Give the log-probability of each token that was written.
        num_top_log_probs: Give this many of the likeliest tokens at each place as well.
        echo: Give the log-probabilities of the prompt's own tokens.
        stream: Send a `Delta` with each piece of text as it is written.
    """

    id: int
    prompts: tuple[Prompt, ...]
    sampling: Sampling = field(default_factory=Sampling)
    max_batch: int = 0
    log_probs: bool = False
    num_top_log_probs: int = 0
    echo: bool = False
    stream: bool = False
    op: Literal["generate"] = "generate"


@dataclass(frozen=True)
class Preview:
    """Show how `messages` and `tools` are rendered, or how `text` is divided into tokens, without generating."""

    id: int
    messages: tuple[Mapping[str, Any], ...]
    tools: tuple[Mapping[str, Any], ...] = ()
    text: str = ""
    op: Literal["preview"] = "preview"


@dataclass(frozen=True)
class Cancel:
    """End the request `id`; it is answered by its `Done` with `cancelled` set."""

    id: int
    op: Literal["cancel"] = "cancel"


Request = Generate | Preview | Cancel
