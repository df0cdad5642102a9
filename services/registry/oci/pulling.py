"""Models from OCI artifacts, and the fetching of blobs that Ollama's registries have too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from services.chassis.errors import InvalidArgument, NotFound
from services.chassis.machine.guarded_http import open_client
from services.chassis.machine.hosts import HostPolicy
from services.chassis.wire.names import shown
from services.registry.domain.model_import import FetchedModel, ImportSource
from services.registry.downloads.download import Downloader
from services.registry.downloads.remote_file import RemoteFile, SourceRefused
from services.registry.importers.sources.fetching import fetch_all
from services.registry.oci.artifact import MANIFEST_TYPES, OciFile, digest_of, read_files
from services.registry.oci.reference import OciReference, parse_reference
from services.registry.oci.repository import Blob, Repository
from services.registry.ports import FetchPlace

_FIELD = "source.oci_reference"
_MOST_NAMES = 20


class OciSource:
    """Fetches the files of an artifact: a GGUF, or a folder in Hugging Face's form or in PEFT's.

    Args:
        policy: Which hosts may be asked, and which secrets they may see.
        downloader: Fetches the files.
    """

    def __init__(self, policy: HostPolicy, downloader: Downloader) -> None:
        self._policy, self._downloader = policy, downloader

    def check(self, source: ImportSource) -> None:
        """Raise unless the text is a reference, of a host that may be asked and see the secret."""
        self._login(source)

    async def fetch(self, source: ImportSource, place: FetchPlace) -> FetchedModel:
        """Return where the artifact's files lie.

        Raises:
            InvalidArgument: It holds no model that can be imported; told before any file is fetched.
            NotFound, PermissionDenied, FailedPrecondition, ResourceExhausted, Unavailable: As `Downloader.fetch`.
        """
        reference, secret = self._login(source)
        async with open_client(self._policy.trusted_hosts, uses_proxies=True) as client:
            repository = Repository(client, reference.url, secret, check_host=self._policy.check_host)
            manifest = await repository.manifest(reference.version, MANIFEST_TYPES)
            if manifest is None:
                raise NotFound(f"The registry has no {reference}.", "Check the tag; a private one needs a secret.")
            digest = digest_of(manifest.content)
            if digest != reference.version and not reference.is_tag:
                raise InvalidArgument(f"The registry sent another manifest than {reference}.", "Use another registry.")
            files, notes = _chosen(read_files(manifest.content))
            uri = f"oci:{reference.host}/{reference.repository}@{digest}"
            await place.check_new(uri)
            await fetch_blobs(self._downloader, repository, {file.name: file for file in files}, place)
        return FetchedModel(_path(files, place.folder), uri, notes)

    def _login(self, source: ImportSource) -> tuple[OciReference, str]:
        reference = parse_reference(source.value, _FIELD)
        self._policy.check_host(reference.hostname)
        return reference, self._policy.secret_for(source.secret, reference.hostname, field="secret")


def _chosen(files: tuple[OciFile, ...]) -> tuple[list[OciFile], tuple[str, ...]]:
    """The files that make a model, and a sentence on what is left aside."""
    named = [file for file in files if file.name]
    ggufs = [file for file in named if file.name.endswith(".gguf")]
    is_folder = any(file.name in ("config.json", "adapter_config.json") for file in named)
    chosen = named if is_folder else ggufs
    if not chosen:
        raise InvalidArgument(
            "The artifact holds neither a GGUF nor config.json with safetensors.",
            "Push the files of a model, as `oras push` does: each a layer with its title.",
        )
    left = [file.name or file.media_type for file in files if file not in chosen]
    more = f" and {len(left) - _MOST_NAMES} more" if len(left) > _MOST_NAMES else ""
    return chosen, ((f"Left aside: {', '.join(map(shown, left[:_MOST_NAMES]))}{more}.",) if left else ())


def _path(files: list[OciFile], folder: Path) -> Path:
    """The folder, or the first GGUF of files that are GGUFs alone."""
    names = sorted(file.name for file in files)
    return folder / names[0] if all(name.endswith(".gguf") for name in names) else folder


# Tokens of registries last for minutes, and large models for hours.
_MAX_LOGINS = 100


async def fetch_blobs(
    downloader: Downloader, repository: Repository, blobs: Mapping[str, Blob], place: FetchPlace
) -> None:
    """Fetch blobs by where they go in the place's folder; none is visible before its digest was checked.

    Raises:
        NotFound, PermissionDenied, FailedPrecondition, ResourceExhausted, Unavailable: As `Downloader.fetch`.
    """
    most_bytes = -1

    async def progress(done: int, total: int) -> None:
        nonlocal most_bytes
        most_bytes = max(most_bytes, done)
        await place.progress(done, total)

    for _ in range(_MAX_LOGINS):
        before = most_bytes
        files = {
            name: RemoteFile(
                repository.blob_url(blob.digest), blob.size, blob.digest, await repository.read_headers(blob.digest)
            )
            for name, blob in blobs.items()
        }
        try:
            return await fetch_all(downloader, files, replace(place, progress=progress))
        except SourceRefused:
            if most_bytes <= before:
                raise
    raise AssertionError("A registry's token lasts for a few bytes only.")
