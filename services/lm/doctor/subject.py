"""The model that is examined: its tokenizer, its settings, and what its template makes of messages."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from services.lm.chat import encode_behind, encode_text, render
from services.lm.doctor.diagnosis import Conversation, Message, Request, Tool
from services.lm.errors import InvalidChat
from services.lm.folders import CONTEXT_KEYS, read_json
from services.lm.folders.tokenizer import load_tokenizer


@dataclass(frozen=True)
class Subject:
    """A tokenizer with its template and settings, and the conversations that it is to carry.

    Attributes:
        conversations: Those of the request that the template renders.
        refused: Those that it refuses, each with its reason.
        stop_ids: Token ids that end an answer, as the generation settings name them.
        num_context_tokens: What the model's context holds; 0 when the configuration does not say.
    """

    tokenizer: PreTrainedTokenizerBase
    conversations: tuple[Conversation, ...]
    refused: tuple[tuple[Conversation, str], ...]
    max_new_tokens: int
    stop_ids: frozenset[int]
    num_context_tokens: int

    @property
    def all_conversations(self) -> tuple[Conversation, ...]:
        """Those that the template renders and those that it refuses."""
        return (*self.conversations, *(conversation for conversation, _ in self.refused))

    @property
    def native(self) -> bool:
        """Whether functions are offered beside the messages."""
        return any(conversation.tools for conversation in self.all_conversations)

    def render(
        self, messages: Sequence[Message], *, tools: Sequence[Tool] = (), asks: bool = False, **variables: object
    ) -> str | None:
        """The rendered text, or None where the template refuses."""
        try:
            return render(self.tokenizer, messages, tools=tools, asks=asks, **variables)
        except InvalidChat:
            return None

    def refusal(self, messages: Sequence[Message], *, tools: Sequence[Tool] = ()) -> str:
        """Why the template refuses the messages; empty when it does not."""
        try:
            render(self.tokenizer, messages, tools=tools)
        except InvalidChat as error:
            return error.problem
        return ""

    def ids(self, text: str) -> list[int]:
        """The token ids of rendered text."""
        return encode_text(self.tokenizer, text)

    def ids_behind(self, prompt: str, text: str) -> tuple[list[int], list[int]] | None:
        """The token ids of a prompt and of the text that follows it, as they are trained; None where they can't be."""
        try:
            return encode_behind(self.tokenizer, prompt, text)
        except InvalidChat:
            return None

    def text(self, ids: Sequence[int]) -> str:
        """The text of token ids, special tokens included."""
        text: str = self.tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return text


def open_subject(folder: Path, request: Request) -> Subject:
    """The model whose tokenizer and settings lie in `folder`; its weights are not read.

    Raises:
        InvalidModelFile: A file is missing or damaged.
    """
    tokenizer = load_tokenizer(folder)
    config = _settings(folder / "config.json")
    setting = _settings(folder / "generation_config.json").get("eos_token_id", config.get("eos_token_id"))
    ids = setting if isinstance(setting, list) else [setting]
    bare = Subject(
        tokenizer=tokenizer,
        conversations=(),
        refused=(),
        max_new_tokens=request.max_new_tokens,
        stop_ids=frozenset(each for each in ids if isinstance(each, int)),
        num_context_tokens=_context(config),
    )
    reasons = [(each, bare.refusal(each.messages, tools=each.tools)) for each in request.conversations]
    return replace(
        bare,
        conversations=tuple(each for each, reason in reasons if not reason),
        refused=tuple((each, reason) for each, reason in reasons if reason),
    )


def _settings(path: Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}


def _context(config: dict[str, Any]) -> int:
    inner = config.get("text_config")
    for source in (config, inner if isinstance(inner, dict) else {}):
        values = (source.get(name) for name in CONTEXT_KEYS)
        value = next((value for value in values if isinstance(value, int)), 0)
        if value:
            return value
    return 0
