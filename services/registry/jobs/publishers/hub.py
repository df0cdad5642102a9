"""Publications to a Hugging Face hub, by its own client in a limited process."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from services.chassis.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    PermissionDenied,
    ServiceError,
    Unavailable,
)
from services.chassis.machine.hosts import HostPolicy
from services.chassis.wire.names import shown
from services.registry.domain.publication import Destination, Package, Publication
from services.registry.importers.limited_process import Limits, run_limited
from services.registry.ports import Progress

_FIELD = "destination.hub_id"
_MODULE = "services.registry.jobs.publishers.hub_commit"
_PART = r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}"
_NAME = re.compile(rf"(?P<repo>{_PART}/{_PART})(@(?P<branch>\w[\w./-]{{0,199}}))?", re.ASCII)
_DEFAULT_BRANCH = "main"
_PUBLIC_HUB = "https://huggingface.co"
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
_MEMORY_BYTES = 8 * 1024**3
_FILE_BYTES = 64 * 1024**2
_LEAST_SECONDS = 600
_COMPUTED_BYTES_PER_SECOND = 20_000_000
_WALL_SECONDS = 48 * 3600.0
_ERRORS = {error.code: error for error in (AlreadyExists, FailedPrecondition, PermissionDenied, Unavailable)}


class HubPublisher:
    """Commits a version's files to a repository, all at once.

    Args:
        policy: Which hosts may be asked, and which may see which secret; the hub sees those that have no list.
        environment: Where `HF_ENDPOINT` is looked up.
    """

    def __init__(self, policy: HostPolicy, environment: Mapping[str, str] = os.environ) -> None:
        self._policy = policy
        self._endpoint = environment.get("HF_ENDPOINT", _PUBLIC_HUB).rstrip("/")
        self._certificates = {name: environment[name] for name in _CERTIFICATES if name in environment}

    def check(self, destination: Destination) -> None:
        """Raise InvalidArgument unless the text is "owner/name[@branch]", and what the policy raises."""
        _parts(destination.value)
        self._token(destination)

    async def publish(self, package: Package, progress: Progress) -> str:
        """Commit the files and return the commit's address; where they are there already, nothing happens.

        Raises:
            AlreadyExists: The repository has other files, and they are not to be replaced.
            PermissionDenied: The token does not let its owner write there.
            Unavailable: The hub does not answer.
            FailedPrecondition: The hub refuses the files, in its own words.
        """
        repo_id, branch = _parts(package.destination.value)
        request = {
            "endpoint": self._endpoint,
            "token": self._token(package.destination),
            "repo_id": repo_id,
            "branch": branch,
            "folder": str(package.folder),
            "replace": package.destination.replace,
            "message": f"{package.version_id} of Drillyard",
            "repo_type": "dataset" if package.is_dataset else "model",
        }
        locations: list[str] = []

        async def tell(line: dict[str, Any]) -> None:
            if "problem" in line:
                raise _error_of(line)
            if "total" in line:
                await progress(int(line["done"]), int(line["total"]))
            locations.append(str(line.get("location", "")))

        limits = _limits(package.size_bytes)
        await run_limited(_MODULE, (), limits, tell, self._certificates | {"HUB_COMMIT": json.dumps(request)})
        return locations[-1]

    async def clean_up(self, publication: Publication) -> None:
        """Leave the hub alone: what no commit names is invisible there, and removed by it."""

    def _token(self, destination: Destination) -> str:
        host = urlsplit(self._endpoint).hostname or ""
        self._policy.check_host(host)
        return self._policy.secret_for(destination.secret, host, field="destination.secret", is_chosen=True)


def _parts(value: str) -> tuple[str, str]:
    match = _NAME.fullmatch(value)
    if match is None:
        raise InvalidArgument(
            f"{shown(value)} is no repository of a hub.", 'Write "owner/name" or "owner/name@branch".', field=_FIELD
        )
    return match["repo"], match["branch"] or _DEFAULT_BRANCH


def _limits(size_bytes: int) -> Limits:
    seconds = _LEAST_SECONDS + size_bytes // _COMPUTED_BYTES_PER_SECOND
    return Limits(memory_bytes=_MEMORY_BYTES, cpu_seconds=seconds, file_bytes=_FILE_BYTES, wall_seconds=_WALL_SECONDS)


def _error_of(line: dict[str, Any]) -> ServiceError:
    return _ERRORS.get(str(line["code"]), FailedPrecondition)(str(line["problem"]), str(line.get("next_step", "")))
