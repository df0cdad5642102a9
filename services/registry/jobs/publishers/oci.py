"""Publications as OCI artifacts: each file of a version is a layer."""

from __future__ import annotations

import httpx2

from services.chassis.errors import InvalidArgument
from services.chassis.machine.hosts import HostPolicy
from services.registry.domain.publication import Destination, Package, Publication
from services.registry.oci.artifact import push_artifact
from services.registry.oci.reference import parse_reference
from services.registry.ports import Progress

_FIELD = "destination.oci_reference"


class OciPublisher:
    """Pushes a version's files to a registry.

    Args:
        client: Sends the requests.
        policy: Which hosts may be asked, and which may see which secret.
    """

    def __init__(self, client: httpx2.AsyncClient, policy: HostPolicy) -> None:
        self._client = client
        self._policy = policy

    def check(self, destination: Destination) -> None:
        """Raise InvalidArgument unless the text is "host/repository:tag", and what the policy raises."""
        if not parse_reference(destination.value, _FIELD).is_tag:
            raise InvalidArgument("A digest is no name to publish under.", "Write host/repository:tag.", field=_FIELD)
        self._secret(destination)

    async def publish(self, package: Package, progress: Progress) -> str:
        """Push the files and return the reference; as `push_artifact` raises."""
        destination = package.destination
        place = await push_artifact(
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
        host = parse_reference(destination.value, _FIELD).hostname
        self._policy.check_host(host)
        return self._policy.secret_for(destination.secret, host, field="destination.secret")
