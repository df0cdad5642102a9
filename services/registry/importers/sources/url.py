"""GGUF files at an address."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from services.chassis.errors import InvalidArgument
from services.chassis.machine.hosts import HostPolicy
from services.chassis.wire.names import shown
from services.lm.conversion.parts import part_files
from services.registry.domain.model_import import FetchedModel, ImportSource
from services.registry.downloads.download import Downloader
from services.registry.downloads.remote_file import RemoteFile
from services.registry.importers.sources.fetching import fetch_all
from services.registry.ports import FetchPlace

_FIELD = "source.url"
# One strict form, so that no two parsers read one address in two ways: no user, no backslash, no fragment.
_URL = re.compile(
    r"https?://(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)(?::[0-9]{1,5})?"
    r"(?:/[A-Za-z0-9_.~%+,=@!-]*)+(?:\?[A-Za-z0-9_.~%+,=&:/-]*)?"
)
_NAME = re.compile(r"\w[\w. +=@,-]{0,200}\.gguf", re.IGNORECASE)
_MOST_CHARACTERS = 2000


class UrlSource:
    """Fetches a GGUF file, or all parts of a split one, from a host that may be asked."""

    def __init__(self, policy: HostPolicy, downloader: Downloader) -> None:
        self._policy = policy
        self._downloader = downloader

    def check(self, source: ImportSource) -> None:
        """Raise InvalidArgument, PermissionDenied or FailedPrecondition for an address or a secret that won't do."""
        file = self._file(source)
        _name_of(source.value)
        self._policy.check_host(file.host)

    async def fetch(self, source: ImportSource, place: FetchPlace) -> FetchedModel:
        """Fetch the file with the parts beside it that its name announces."""
        file, name = self._file(source), _name_of(source.value)
        parts = [part.name for part in part_files(Path(name))]
        whole = urlsplit(source.value)
        folder = whole.path.rpartition("/")[0]
        await fetch_all(
            self._downloader,
            {
                part: RemoteFile(whole._replace(path=f"{folder}/{part}").geturl(), headers=file.headers)
                if len(parts) > 1
                else file
                for part in parts
            },
            place,
        )
        # What stands behind the question mark may be a signature.
        return FetchedModel(place.folder / parts[0], whole._replace(query="").geturl())

    def _file(self, source: ImportSource) -> RemoteFile:
        if len(source.value) > _MOST_CHARACTERS or not _URL.fullmatch(source.value):
            raise InvalidArgument(
                f"{shown(source.value)} is no address that can be asked.",
                "Write it as https://host/path/model.gguf, without user and password; a token is a secret.",
                field=_FIELD,
            )
        file = RemoteFile(source.value)
        token = self._policy.secret_for(source.secret, file.host, field="secret")
        return RemoteFile(source.value, headers={"authorization": f"Bearer {token}"} if token else {})


def _name_of(url: str) -> str:
    name = unquote(urlsplit(url).path.rpartition("/")[2])
    if not _NAME.fullmatch(name):
        raise InvalidArgument(
            f"{shown(url)} leads to no GGUF file by its name.",
            "Give the address of one .gguf file; a model of a hub is imported as hf:owner/name.",
            field=_FIELD,
        )
    return name
