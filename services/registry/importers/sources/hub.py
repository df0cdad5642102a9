"""Models of a Hugging Face hub: a snapshot of one commit, without code."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from services.chassis.errors import InvalidArgument, PermissionDenied, Unavailable
from services.chassis.machine import proxies
from services.chassis.machine.hosts import HostPolicy
from services.chassis.wire.names import shown
from services.registry.domain.model_import import FetchedModel, ImportSource
from services.registry.downloads.download import Downloader
from services.registry.downloads.remote_file import RemoteFile, SourceRefused
from services.registry.importers.folder import licence_notes
from services.registry.importers.folder_inspection import card_licence
from services.registry.importers.inspection import ask
from services.registry.importers.limited_process import Limits
from services.registry.importers.sources.fetching import fetch_all
from services.registry.importers.sources.hub_files import HubChoice, HubFile, choose
from services.registry.ports import FetchPlace

_FIELD = "source.hub_id"
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}"
_HUB_ID = re.compile(rf"({_NAME}/{_NAME})(?:@([\w.][\w./-]{{0,200}}))?(?::([\w.-][\w./ -]{{0,300}}))?", re.ASCII)
_LISTING = "services.registry.importers.sources.hub_listing"
_LIMITS = Limits(memory_bytes=2 * 1024**3, cpu_seconds=60, file_bytes=0, wall_seconds=180.0)
_ENDPOINT = "HF_ENDPOINT"
_PUBLIC_HUB = "https://huggingface.co"
_PASSED_ON = (_ENDPOINT, "HF_HUB_OFFLINE", "HF_HOME", "HF_HUB_CACHE", "SSL_CERT_FILE", *proxies.VARIABLES)


@dataclass(frozen=True)
class HubId:
    """A repository of a hub, a revision (empty for its default), and a GGUF file in it (empty for the only model)."""

    repository: str
    revision: str
    file: str

    @classmethod
    def of(cls, value: str) -> HubId:
        """Read "owner/name[@revision][:file]".

        Raises:
            InvalidArgument: It is written otherwise.
        """
        match = _HUB_ID.fullmatch(value)
        if match is None or any(".." in part for part in match.groups() if part):
            raise InvalidArgument(
                f"{shown(value)} is no model of a hub.",
                'Write it as "owner/name", with @revision for another than the newest and :file for one GGUF of many.',
                field=_FIELD,
            )
        return cls(match[1], match[2] or "", match[3] or "")


class HubSource:
    """Fetches from the hub that `HF_ENDPOINT` names, or from its cache on this machine when `HF_HUB_OFFLINE` is set.

    Args:
        policy: Hosts that may be asked, and secrets that they may see; the hub may see those that have no list.
        downloader: Fetches the files.
        environment: Where the hub's variables are looked up.
    """

    def __init__(self, policy: HostPolicy, downloader: Downloader, environment: Mapping[str, str] = os.environ) -> None:
        self._policy = policy
        self._downloader = downloader
        self._environment = {name: environment[name] for name in _PASSED_ON if name in environment}
        self._host = urlsplit(self._environment.get(_ENDPOINT, _PUBLIC_HUB)).hostname or ""

    def check(self, source: ImportSource) -> None:
        """Raise InvalidArgument, PermissionDenied or FailedPrecondition for a name, a hub or a secret that won't do."""
        HubId.of(source.value)
        self._policy.check_host(self._host)
        self._token(source)

    async def fetch(self, source: ImportSource, place: FetchPlace) -> FetchedModel:
        """Fetch the files of the commit to which the revision leads now.

        Raises:
            InvalidArgument: There is no such repository, revision or file, or no model in a form that can be imported.
            PermissionDenied: The hub does not give it to this caller.
        """
        hub_id, token = HubId.of(source.value), self._token(source)
        listing = await self._listing(hub_id, token)
        if "folder" in listing:
            return await asyncio.to_thread(_cached, hub_id, Path(str(listing["folder"])))
        files = [HubFile(**file) for file in listing["files"]]
        choice = choose(files, hub_id.repository, hub_id.file)
        uri = _uri(hub_id, str(listing["commit"]), choice)
        await place.check_new(uri)
        headers = {"authorization": f"Bearer {token}"} if token else {}
        remote = {file.name: RemoteFile(file.url, file.size_bytes, file.digest, headers) for file in choice.files}
        try:
            await fetch_all(self._downloader, remote, place)
        except SourceRefused as error:
            raise PermissionDenied(
                f"{hub_id.repository} is gated or private: {error.problem}",
                f"Accept its terms at https://{self._host}/{hub_id.repository}, and name the secret of a token.",
            ) from error
        return await asyncio.to_thread(_fetched, choice, place.folder, uri, _notes(files))

    async def _listing(self, hub_id: HubId, token: str) -> dict[str, Any]:
        # The token of whoever started the registry is none that callers may use.
        own = {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_TOKEN_PATH": os.devnull}
        environment = self._environment | own | ({"HF_TOKEN": token} if token else {})
        listing = await ask(_LISTING, (hub_id.repository, hub_id.revision), _LIMITS, environment)
        if "away" in listing:
            raise Unavailable(str(listing["away"])[:400], "Check the way to the hub, then import again.")
        return listing

    def _token(self, source: ImportSource) -> str:
        return self._policy.secret_for(source.secret, self._host, field="secret", is_chosen=True)


def _cached(hub_id: HubId, folder: Path) -> FetchedModel:
    """Return a snapshot of the hub's cache, whose folder is named by the commit."""
    files = [
        HubFile(path.relative_to(folder).as_posix(), path.stat().st_size, "", "")
        for path in folder.rglob("*")
        if path.is_file()
    ]
    choice = choose(files, hub_id.repository, hub_id.file)
    return _fetched(choice, folder, _uri(hub_id, folder.name, choice))


def _fetched(choice: HubChoice, folder: Path, uri: str, notes: tuple[str, ...] = ()) -> FetchedModel:
    """Return what lies in the folder; of a GGUF, whose importer sees the file alone, with the licence of the card."""
    licence = card_licence(folder) if choice.model else ""
    return FetchedModel(folder / choice.model, uri, (*notes, *licence_notes(licence)), licence=licence)


def _uri(hub_id: HubId, commit: str, choice: HubChoice) -> str:
    return f"hf://{hub_id.repository}@{commit}" + (f":{choice.model}" if choice.model else "")


def _notes(files: list[HubFile]) -> tuple[str, ...]:
    pickled = [file.name for file in files if file.name.endswith((".bin", ".pt", ".pth"))]
    if not pickled:
        return ()
    return (f"Left aside on the hub, since it can run code when it is loaded: {', '.join(sorted(pickled)[:8])}.",)
