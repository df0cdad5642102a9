"""The weights that an adapter from elsewhere is loaded on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from services.chassis.artifacts import ArtifactStore
from services.chassis.errors import InvalidArgument
from services.chassis.machine.files import link_or_copy
from services.chassis.wire.names import shown
from services.registry.domain.model import ModelVersion
from services.registry.domain.model_import import InspectedSource, ModelForm
from services.registry.domain.paging import PageRequest
from services.registry.importers.folder_inspection import PROVENANCE
from services.registry.importers.workspace import Workspace
from services.registry.ports.stores import ModelStore

_PAGE = 500
# Each is built without its weights, which takes seconds.
_MOST_TRIED = 8
_FIELD = "base_model_version_id"

CheckFit = Callable[[Path, Path], Awaitable[None]]


@dataclass(frozen=True)
class AdapterBase:
    """The base of an import, None for full weights, and what a person should know of how it was found."""

    version: ModelVersion | None = None
    notes: tuple[str, ...] = ()


class AdapterBases:
    """Finds bases among the registered versions, and checks adapters against them.

    Args:
        models: The registered versions.
        artifacts: Where their bytes are.
        fits: Raises InvalidArgument unless an adapter's tensors are those of a base, both as folders.
        workspace: Where an adapter is put to be looked at alone.
    """

    def __init__(self, models: ModelStore, artifacts: ArtifactStore, fits: CheckFit, workspace: Workspace) -> None:
        self._models = models
        self._artifacts = artifacts
        self._fits = fits
        self._workspace = workspace

    async def base_of(self, source: InspectedSource, version_id: str, form: ModelForm) -> AdapterBase:
        """Return the version that a caller named, or that the adapter itself names, or else the only one that it fits.

        Raises:
            NotFound: The caller's version is not there.
            InvalidArgument: It is no full weights; or none was named, and the adapter's words lead to no version; those
                that it fits are named.
        """
        if form is not ModelForm.ADAPTER:
            if version_id:
                raise InvalidArgument("Full weights have no base.", f"Leave {_FIELD} empty.", field=_FIELD)
            return AdapterBase()
        if version_id:
            return AdapterBase(await self._named(version_id))
        version = await self._matching(source.base_digest) if source.base_digest else None
        if version is not None:
            return AdapterBase(version, (f"Its base is {version.version_id}, by the digest in its {PROVENANCE}.",))
        version = await self._matching(source.base) if source.base else None
        if version is None:
            return await self._only_fitting(source)
        return AdapterBase(
            version, (f"Its base is {version.version_id}, by the name {shown(source.base)} in its settings.",)
        )

    async def check_fit(self, base: ModelVersion, adapter: Path) -> None:
        """Raise InvalidArgument unless the adapter's tensors have their places in the base, in their shapes."""
        await self._fits(await self._artifacts.local_path(base.artifact.uri), adapter)

    async def _only_fitting(self, source: InspectedSource) -> AdapterBase:
        """Return the full weights whose names and shapes the adapter has, where it names none and they are the only."""
        fitting = [version async for version in self._fitting(source)]
        if len(fitting) == 1 and not source.base:
            text = (
                f"Its settings name no base; it fits {fitting[0].version_id}, and no other of the newest full weights."
            )
            return AdapterBase(fitting[0], (text,))
        problem = "The settings of the adapter name no base."
        if source.base:
            problem = f"The adapter was trained on {shown(source.base)}, of which no full weights are registered."
        names = ", ".join(version.version_id for version in fitting)
        by_shape = f" By its tensors' shapes it fits {names}." if fitting else ""
        raise InvalidArgument(
            f"{problem}{by_shape}",
            "Import its base first, or name the version with base_model_version_id (--base).",
            field=_FIELD,
        )

    async def _fitting(self, source: InspectedSource) -> AsyncIterator[ModelVersion]:
        digests: set[str] = set()
        # What lies beside the adapter is not looked into.
        with self._workspace.folder("adapter") as place:
            for file in source.files:
                await asyncio.to_thread(link_or_copy, file.resolve(), place / file.name)
            async for version in self._full_weights():
                if len(digests) == _MOST_TRIED:
                    return
                if version.artifact.digest not in digests:
                    digests.add(version.artifact.digest)
                    with suppress(InvalidArgument):
                        await self.check_fit(version, place)
                        yield version

    async def _named(self, version_id: str) -> ModelVersion:
        version = await self._models.named(version_id)
        if not version.kind.is_full_weights:
            raise InvalidArgument(
                f"{version.version_id} is of kind {version.kind.value}; an adapter is loaded on full weights.",
                f"Name the full weights, such as {version.base_model_version_id or 'a base version'}.",
                field=_FIELD,
            )
        return version

    async def _matching(self, name: str) -> ModelVersion | None:
        """Return the newest full weights of which `name` is the id, digest or source, or else the model's name."""
        by_name = None
        async for version in self._full_weights():
            if _is_named(version, name):
                return version
            if by_name is None and version.model_id == _model_id_of(name):
                by_name = version
        return by_name

    async def _full_weights(self) -> AsyncIterator[ModelVersion]:
        token = ""
        while True:
            page = await self._models.list_versions("", PageRequest(_PAGE, token))
            for version in page.items:
                if version.kind.is_full_weights:
                    yield version
            token = page.next_token
            if not token:
                return


def _is_named(version: ModelVersion, name: str) -> bool:
    source = version.source.uri if version.source else ""
    place, _, _ = source.removeprefix("hf://").partition("@")
    digest = version.artifact.digest.partition(":")[2]
    is_place = place == source and source == (Path(name).as_uri() if name.startswith("/") else None)
    is_on_hub = source.startswith("hf://") and place.lower() == name.lower()
    return name == version.version_id or digest in name or is_place or is_on_hub


def _model_id_of(name: str) -> str:
    """Return the id that a model of this name or path gets by default."""
    last = PurePosixPath(name).name.lower()
    return "".join(letter if letter.isascii() and (letter.isalnum() or letter in ".-") else "-" for letter in last)
