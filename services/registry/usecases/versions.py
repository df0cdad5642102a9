"""What callers may do with the versions of each noun."""

from __future__ import annotations

from typing import Generic, TypeVar

from services.registry.domain.draft import Numbered
from services.registry.domain.identifiers import check_numbered
from services.registry.ports.stores import VersionStore
from services.registry.usecases.adoption import Adoption

VersionT = TypeVar("VersionT", bound=Numbered)


class VersionUseCases(Generic[VersionT]):
    """Finds and deletes versions; the base of each noun's use cases."""

    _id_field: str

    def __init__(self, store: VersionStore[VersionT], adoption: Adoption) -> None:
        self._versions = store
        self._adoption = adoption

    async def get_version(self, text: str) -> VersionT:
        """Return the version that "<id>@<version>" or "<id>" names.

        Raises:
            NotFound: There is none.
        """
        return await self._versions.named(text)

    async def delete_version(self, text: str) -> None:
        """Remove the version that "<id>@<version>" names, with its bytes unless another one has the same.

        Raises:
            InvalidArgument: No number is named.
            NotFound: There is none.
            FailedPrecondition: Another version is made of it, something uses it, or it ships with the product.
        """
        check_numbered(text, self._id_field)
        version = await self.get_version(text)
        await self._check_free(version)
        async with self._adoption.released(version.artifact):
            await self._versions.delete_version(version)

    async def _check_free(self, _version: VersionT) -> None:
        """Raise FailedPrecondition for a version that must stay."""
