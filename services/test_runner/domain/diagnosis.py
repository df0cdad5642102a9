"""Diagnoses: what is to be examined, and what must fit."""

from __future__ import annotations

from dataclasses import dataclass

from services.chassis.errors import InvalidArgument
from services.lm.doctor.diagnosis import Conversation, Rendering
from services.test_runner.domain.endpoint import Endpoint

_MAX_NEW_TOKENS = 8192
_MAX_ID_LENGTH = 200


@dataclass(frozen=True)
class DiagnosisSpec:
    """What is to be diagnosed."""

    model_version_id: str
    profile_id: str
    prompt_size: str = "compact"
    max_new_tokens: int = 192
    endpoint: Endpoint | None = None

    def check(self) -> None:
        """Return when every value is within its bounds.

        Raises:
            InvalidArgument: One is not; the error names the field.
        """
        for name in ("model_version_id", "profile_id"):
            if not 0 < len(getattr(self, name)) <= _MAX_ID_LENGTH:
                raise InvalidArgument(f"{name} is empty or too long.", "Name one that is listed.", field=name)
        if not 1 <= self.max_new_tokens <= _MAX_NEW_TOKENS:
            raise InvalidArgument(
                f"max_new_tokens is {self.max_new_tokens}.", f"Use 1 to {_MAX_NEW_TOKENS}.", field="max_new_tokens"
            )
        if self.endpoint is not None:
            self.endpoint.check()


@dataclass(frozen=True)
class RenderedConversation:
    """A conversation and what the model's own template makes of its prompt."""

    conversation: Conversation
    rendering: Rendering

    @property
    def num_tokens(self) -> int:
        """Tokens of the prompt."""
        return len(self.rendering.token_ids)


@dataclass(frozen=True)
class Room:
    """What must fit: the longest answer, and what the model's own context holds (0 when unknown), in tokens."""

    max_new_tokens: int
    num_context_tokens: int = 0
