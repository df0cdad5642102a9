"""The model that is examined: its tokenizer, its settings, and what its template makes of messages."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from string import Template
from typing import Any, Final

from transformers import PreTrainedTokenizerBase

from services.lm.chat import encode_behind, encode_text, render
from services.lm.doctor.diagnosis import Conversation, Finding, Message, Request, Severity, Tool
from services.lm.errors import InvalidChat
from services.lm.folders import CONTEXT_KEYS, read_json
from services.lm.folders.tokenizer import load_tokenizer

TABLE: Final[dict[str, dict[str, Any]]] = tomllib.loads(
    Path(__file__).with_name("findings.toml").read_text(encoding="utf-8")
)


def finding(code: str, evidence: str = "", *, severity: Severity | None = None, **values: object) -> Finding:
    """The finding with its names filled in; `severity` where it depends on more than the code."""
    row = TABLE[code]
    problem, fix = (Template(row[name]).substitute(values) for name in ("problem", "fix"))
    return Finding(code, severity or row["severity"], problem, fix, evidence)


Turn = dict[str, Any]

SYSTEM: Final[Turn] = {"role": "system", "content": "Kappa seven."}
USER: Final[Turn] = {"role": "user", "content": "Lima eight?"}
ANSWER: Final[Turn] = {"role": "assistant", "content": "Mike nine."}
NEXT: Final[Turn] = {"role": "user", "content": "November ten?"}
ARGUMENTS: Final = {"quokka_id": "Oscar 11", "amount": 12}
FUNCTION_NAME: Final = "fetch_quokka"
FUNCTION: Final = {
    "type": "function",
    "function": {
        "name": FUNCTION_NAME,
        "description": "Fetches quokkas.",
        "parameters": {
            "type": "object",
            "properties": {"quokka_id": {"type": "string"}, "amount": {"type": "integer"}},
            "required": ["quokka_id"],
        },
    },
}
RESULT: Final[Turn] = {"role": "tool", "tool_call_id": "call00001", "content": "Papa thirteen."}
OTHER_RESULT: Final[Turn] = {"role": "tool", "tool_call_id": "call00002", "content": "Quebec fourteen."}
TEXT_BESIDE_CALL: Final = "Romeo fifteen."


def calling(*call_ids: str, text: str = "") -> Turn:
    """Return an answer that calls the function, once per id."""
    function = {"name": FUNCTION_NAME, "arguments": '{"quokka_id": "Oscar 11", "amount": 12}'}
    calls = [{"id": call_id, "type": "function", "function": function} for call_id in call_ids]
    return {"role": "assistant", "content": text, "tool_calls": calls}


CALL: Final = calling("call00001")


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
