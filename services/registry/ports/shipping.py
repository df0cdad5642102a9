"""What exports and publications need from outside."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from services.registry.domain.export import ExportSource, ExportSpec
from services.registry.domain.model import ModelVersion
from services.registry.domain.publication import Destination, Package, Publication
from services.registry.ports import Progress


class FormWriter(Protocol):
    """Writes versions in one form."""

    def check(self, spec: ExportSpec, whole: ModelVersion) -> None:
        """Return unless it is known before any byte is read that the form cannot be written.

        Args:
            spec: What is to be exported.
            whole: The version with the full weights.

        Raises:
            InvalidArgument: The architecture has no such form, for one; the forms that can be had are named.
        """

    async def write(self, source: ExportSource, out: Path, progress: Progress) -> Sequence[str]:
        """Write the form to the new folder `out`; return what a person should know of it, a sentence each.

        Raises:
            InvalidArgument: It can't be written from these weights.
            ResourceExhausted: It needed more than it may.
        """


class Publisher(Protocol):
    """Brings versions to places of one kind. Nothing is visible under a name before it is whole."""

    def check(self, destination: Destination) -> None:
        """Return when a caller's words can name a place; nothing is asked over the network.

        Raises:
            InvalidArgument: They can't.
            PermissionDenied: The place may not be asked, or may not see the secret.
            FailedPrecondition: The secret is not there.
        """

    async def publish(self, package: Package, progress: Progress) -> str:
        """Bring the version there and return where it is; a repeat changes nothing.

        Raises:
            AlreadyExists: The name is that of something else, which is not to be replaced.
            PermissionDenied: The place does not let this caller write.
            FailedPrecondition: The place refuses it.
            Unavailable: The place does not answer.
        """

    async def clean_up(self, publication: Publication) -> None:
        """Remove what a process that was killed has prepared."""


class VersionUsers(Protocol):
    """What uses versions, and so keeps them from being deleted."""

    async def users_of(self, version_id: str) -> Sequence[str]:
        """Return what uses a version now, in words such as "the export 4f2a"."""
