"""What a diagnosis needs from outside, besides the registry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from services.lm.doctor.diagnosis import Diagnosis, Finding, Request
from services.test_runner.domain.diagnosis import RenderedConversation, Room
from services.test_runner.domain.endpoint import Endpoint


class Doctor(Protocol):
    """Examines a model folder."""

    async def examine(self, model_uri: str, request: Request) -> Diagnosis:
        """Return what is wrong with the template and the settings of the model at `model_uri`.

        Raises:
            FailedPrecondition: The model's files cannot be read.
            Unavailable: The examination broke off.
        """
        ...


@dataclass(frozen=True)
class Comparison:
    """What the comparison with a served model found, and the names of its checks."""

    findings: tuple[Finding, ...]
    checks: tuple[str, ...]


class ServedTemplate(Protocol):
    """Compares what an endpoint renders with what the model's own template does."""

    async def compare(self, endpoint: Endpoint, rendered: Sequence[RenderedConversation], room: Room) -> Comparison:
        """Return in what the endpoint differs from the model's own template and context.

        Raises:
            FailedPrecondition: The endpoint's key is not there.
        """
        ...
