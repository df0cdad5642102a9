"""Diagnoses: what is to be examined, and what must fit."""

from dataclasses import dataclass

from services.lm.doctor.diagnosis import Conversation, Rendering
from services.test_runner.domain.endpoint import Endpoint


@dataclass(frozen=True)
class DiagnosisSpec:
    """What is to be diagnosed; defaults and bounds stand in the contract."""

    model_version_id: str
    profile_id: str
    prompt_size: str
    max_new_tokens: int
    endpoint: Endpoint | None


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
