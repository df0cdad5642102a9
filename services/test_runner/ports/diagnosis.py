"""What a diagnosis needs from outside, besides the registry."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from services.lm.doctor.diagnosis import Diagnosis, Finding, Request
from services.test_runner.domain.diagnosis import RenderedConversation, Room
from services.test_runner.domain.endpoint import Endpoint
from services.test_runner.ports.registry import ResolvedModel


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


class FormTemplate(Protocol):
    """Compares what a version in the form of a GGUF reads with what the weights do that it was made from."""

    async def compare(self, model: ResolvedModel, rendered: Sequence[RenderedConversation], room: Room) -> Comparison:
        """Return in what the form, served here, differs from the original's template.

        Raises:
            FailedPrecondition: There is no server for it on this machine.
            BackendFaultError: The server broke.
        """
        ...


class ServedTemplate(Protocol):
    """Compares what an endpoint renders with what the model's own template does."""

    async def compare(self, endpoint: Endpoint, rendered: Sequence[RenderedConversation], room: Room) -> Comparison:
        """Return in what the endpoint differs from the model's own template and context.

        Raises:
            FailedPrecondition: The endpoint's key is not there.
        """
        ...
