"""Publications to Ollama: into a store folder, a running daemon, or a registry that speaks its protocol."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import httpx2

from services.chassis.errors import AlreadyExists, InvalidArgument, PermissionDenied
from services.chassis.machine.hosts import HostPolicy
from services.chassis.wire.names import shown
from services.registry.domain.publication import Destination, Package, Publication
from services.registry.jobs.publishers.folder import check_below
from services.registry.oci.repository import Repository
from services.registry.ollama.daemon import publish_to_daemon
from services.registry.ollama.manifest import MANIFEST_TYPE
from services.registry.ollama.names import DEFAULT_HOST, OllamaName, parse_name
from services.registry.ollama.store import publish_to_store, read_store
from services.registry.ports import Progress

_NAME = "destination.ollama_name"
_REGISTRY = "destination.ollama_registry"
_ADDRESS = "destination.address"
_SECRET = "destination.secret"


class OllamaPublisher:
    """Puts a model into a store folder of the registry's machine, or into a running Ollama.

    Args:
        store: The folder that is meant where the destination names none.
        client: Sends the requests to a daemon.
        policy: Which hosts may be asked.
        roots: Folders below which a store may lie; empty for anywhere.
    """

    def __init__(
        self, store: Path, client: httpx2.AsyncClient, policy: HostPolicy, roots: tuple[Path, ...] = ()
    ) -> None:
        self._store = store
        self._roots = roots
        self._client = client
        self._policy = policy

    def check(self, destination: Destination) -> None:
        """Raise InvalidArgument unless the name and the address can be those of a model and its place."""
        parse_name(destination.value, _NAME)
        address = destination.address
        if "://" in address:
            place = urlsplit(address)
            if place.scheme not in ("http", "https") or not place.hostname:
                raise _no_address(address)
            self._policy.check_host(place.hostname)
        elif address and not Path(address).is_absolute():
            raise _no_address(address)
        else:
            check_below(Path(address) if address else self._store, self._roots, _ADDRESS)

    async def publish(self, package: Package, progress: Progress) -> str:
        """Publish and return the name with its place; as `publish_to_daemon` and `publish_to_store` raise."""
        destination = package.destination
        name, replace = destination.value, destination.replace
        if "://" in destination.address:
            place = await publish_to_daemon(
                package.folder, name, destination.address, client=self._client, replace=replace, progress=progress
            )
            return f"{place} at {destination.address}"
        store = Path(destination.address) if destination.address else self._store
        place = await publish_to_store(package.folder, name, store, replace=replace, progress=progress)
        return f"{place} in {store}"

    async def clean_up(self, publication: Publication) -> None:
        """Leave what is there: blobs that no manifest names are removed by Ollama itself."""


class OllamaRegistryPublisher:
    """Pushes a model to a registry that speaks Ollama's protocol."""

    def __init__(self, client: httpx2.AsyncClient, policy: HostPolicy) -> None:
        self._client = client
        self._policy = policy

    def check(self, destination: Destination) -> None:
        """Raise InvalidArgument unless the text is a name with its host, and what the policy raises."""
        parse_name(destination.value, _REGISTRY)
        self._secret(destination)

    async def publish(self, package: Package, progress: Progress) -> str:
        """Push and return the model's name; as `push_to_registry` raises."""
        destination = package.destination
        place = await push_to_registry(
            package.folder,
            destination.value,
            client=self._client,
            secret=self._secret(destination),
            replace=destination.replace,
            progress=progress,
        )
        return str(place)

    async def clean_up(self, publication: Publication) -> None:
        """Leave what is there: a registry removes blobs that no manifest names."""

    def _secret(self, destination: Destination) -> str:
        host = urlsplit(parse_name(destination.value, _REGISTRY).repository_url).hostname or ""
        self._policy.check_host(host)
        return self._policy.secret_for(destination.secret, host, field=_SECRET)


def usual_store(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the store folder of an Ollama that this user runs."""
    folder = environment.get("OLLAMA_MODELS")
    return Path(folder) if folder else Path.home() / ".ollama" / "models"


def _no_address(address: str) -> InvalidArgument:
    return InvalidArgument(
        f"{shown(address)} is neither a folder nor the address of an Ollama.",
        "Write an absolute path, or an address such as http://127.0.0.1:11434.",
        field=_ADDRESS,
    )


async def push_to_registry(
    source: Path, name: str, *, client: httpx2.AsyncClient, secret: str = "", replace: bool = False, progress: Progress
) -> OllamaName:
    """Push the one model of the folder `source` under `name`: blobs first, the manifest last; progress is in bytes.

    Args:
        source: A store folder that `write_store` wrote.
        name: With the registry's host.
        client: Sends the requests.
        secret: `user:password`, a token, or empty.
        replace: Whether a model of that name gives way.
        progress: Is told the bytes that the registry has.

    Raises:
        AlreadyExists: The registry has another model of that name, and `replace` is false.
        PermissionDenied: The registry does not let this caller write.
        Unavailable: The registry does not answer.
    """
    model, place = read_store(source), parse_name(name)
    if place.host == DEFAULT_HOST:
        raise PermissionDenied(
            f"{DEFAULT_HOST} takes models only from an Ollama that is signed in with its own key.",
            "Publish into the Ollama on your machine, then run `ollama push` there.",
        )
    repository = Repository(client, place.repository_url, secret)
    existing = await repository.manifest(place.tag, (MANIFEST_TYPE,))
    if existing and existing.content != model.content and not replace:
        raise AlreadyExists(f"The registry has a model {place} already.", "Choose another name, or ask to replace it.")
    await repository.put_blobs([(model.path_of(layer), layer) for layer in model.manifest.blobs], progress)
    await repository.put_manifest(place.tag, model.content, MANIFEST_TYPE)
    return place
