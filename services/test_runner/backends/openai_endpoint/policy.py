"""Which endpoints may be asked, and with which keys."""

from __future__ import annotations

from collections.abc import Collection

from services.chassis.errors import PermissionDenied
from services.test_runner.backends.endpoint_keys import EndpointKeys
from services.test_runner.domain import Endpoint


class OperatorPolicy:
    """Hosts that the operator lists may be asked; without a list, all. Keys are read when they are needed."""

    def __init__(self, hosts: Collection[str], keys: EndpointKeys) -> None:
        self.hosts = frozenset(host.lower() for host in hosts)
        self._keys = keys

    def check(self, endpoint: Endpoint) -> None:
        """Return when the endpoint's host is allowed and its secret is there.

        Raises:
            PermissionDenied: The operator does not allow the host.
            FailedPrecondition: There is no secret of that name.
        """
        if self.hosts and endpoint.host not in self.hosts:
            raise PermissionDenied(
                f"The host {endpoint.host} is not among those that endpoints may be at.",
                "Use another endpoint, or have the operator add the host to TEST_RUNNER_ENDPOINT_HOSTS.",
            )
        self.key_of(endpoint)

    def key_of(self, endpoint: Endpoint) -> str:
        """Return the endpoint's key, empty when it needs none.

        Raises:
            FailedPrecondition: There is no secret of that name.
        """
        return self._keys.key_of(endpoint.api_key_secret) if endpoint.api_key_secret else ""
