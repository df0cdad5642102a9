"""What all drafts of immutable versions share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from services.chassis.artifacts import Artifact
from services.chassis.errors import AlreadyExists
from services.chassis.machine.caller import DEFAULT_WORKSPACE
from services.registry.domain.identifiers import version_id


@dataclass(frozen=True, kw_only=True)
class Draft(ABC):
    """A version before it has a number: what its creator asked for, and what was found in its bytes."""

    asked: ClassVar[tuple[str, ...]] = ("artifact.digest", "produced_by")

    request_id: str
    artifact: Artifact
    produced_by: str

    @property
    @abstractmethod
    def owner_id(self) -> str:
        """Id of what the version belongs to."""

    def check_same(self, other: Draft) -> None:
        """Return when both were asked for with the same words.

        Raises:
            AlreadyExists: A field differs; it is named.
        """
        for name in self.asked:
            if _field(self, name) != _field(other, name):
                raise AlreadyExists(
                    f"The request_id was used before with another {name}.",
                    "Use a new request_id for a new request.",
                    field=name,
                )


@dataclass(frozen=True, kw_only=True)
class Numbered(Draft):
    """A registered version: its number, from 1, when it was registered, by whom, and for which workspace."""

    version: int
    create_time: datetime
    workspace_id: str = DEFAULT_WORKSPACE
    caller: str = ""

    @property
    def version_id(self) -> str:
        """The owner's id, `@` and the number."""
        return version_id(self.owner_id, self.version)


def _field(draft: Draft, name: str) -> object:
    value: object = draft
    for part in name.split("."):
        value = getattr(value, part)
    return value
