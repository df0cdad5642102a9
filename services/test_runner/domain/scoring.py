"""Answers to score: how likely a version finds them, token by token."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from services.chassis.errors import InvalidArgument
from services.test_runner.domain.generation import TokenLogProb, check_conversation
from services.test_runner.domain.transcript import Message

_MAX_ROWS = 1000
_MAX_TOKEN_IDS = 1 << 20


@dataclass(frozen=True)
class AnswerRow:
    """A conversation and its answer, or the token ids of both, of which `num_prompt_tokens` are the prompt's."""

    messages: tuple[Message, ...] = ()
    tools: tuple[Mapping[str, Any], ...] = ()
    answer: Message | None = None
    token_ids: tuple[int, ...] = ()
    num_prompt_tokens: int = 0

    def check(self, place: int) -> None:
        """Return when it can be scored.

        Raises:
            InvalidArgument: It is neither a conversation with its answer nor token ids of a prompt and an answer.
        """
        if not self.token_ids and self.answer is not None and self.answer.role == "assistant":
            return check_conversation(self.messages, self.tools)
        is_split = 0 < self.num_prompt_tokens < len(self.token_ids) <= _MAX_TOKEN_IDS and min(self.token_ids) >= 0
        if self.messages or self.tools or self.answer is not None or not is_split:
            raise InvalidArgument(
                f"The row {place} is neither a conversation with its answer nor token ids of a prompt and an answer.",
                "Send messages and an answer of the role assistant, or token_ids with num_prompt_tokens.",
                field=f"rows[{place}]",
            )
        return None


@dataclass(frozen=True)
class AnswerScore:
    """How likely the answer of the row at place `row` is; `tokens` are the answer's that were scored.

    `ends_turn` says whether the last of `token_ids` ends an answer where the version is served.
    """

    row: int
    token_ids: tuple[int, ...]
    num_prompt_tokens: int
    tokens: tuple[TokenLogProb, ...]
    ends_turn: bool


@dataclass(frozen=True)
class ScoringOrder:
    """What one call asks for: of each row's answer the first `max_tokens` tokens are scored."""

    MESSAGE: ClassVar = "drillyard.test_runner.v1.score_pb2.ScoreAnswersRequest"

    model_version_id: str
    rows: tuple[AnswerRow, ...]
    max_tokens: int

    def check(self) -> None:
        """Return when all can be scored.

        Raises:
            InvalidArgument: They are none, too many, or one cannot be.
        """
        if not 0 < len(self.rows) <= _MAX_ROWS:
            raise InvalidArgument(f"There are {len(self.rows)} rows.", f"Send 1 to {_MAX_ROWS}.", field="rows")
        for place, row in enumerate(self.rows):
            row.check(place)
