"""Blobs of a repository, fetched in parallel parts under a login that may expire on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from services.registry.downloads.download import Downloader
from services.registry.downloads.remote_file import RemoteFile, SourceRefused
from services.registry.importers.sources.fetching import fetch_all
from services.registry.oci.repository import Blob, Repository
from services.registry.ports import FetchPlace

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
