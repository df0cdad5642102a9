"""Which endpoints may be asked, and with which keys."""

from collections.abc import Collection, Mapping
from typing import Self

from services.chassis.machine.hosts import HostPolicy, HostVariables
from services.chassis.machine.secrets import Secrets, is_of_deployment
from services.chassis.settings import is_loopback
from services.test_runner.domain.endpoint import Endpoint

_VARIABLES = HostVariables("TEST_RUNNER_ENDPOINT_HOSTS", "TEST_RUNNER_ENDPOINT_KEY_HOSTS")


class OperatorPolicy(HostPolicy):
    """Decides which endpoints are asked, and which keys their hosts may see."""

    def __init__(
        self, hosts: Collection[str], keys: Secrets, key_hosts: Mapping[str, Collection[str]] | None = None
    ) -> None:
        super().__init__(hosts, keys, key_hosts, variables=_VARIABLES)

    def trust_deployments(self, namespace: str) -> None:
        """Let the versions be asked that the registry serves in a namespace, at whatever address."""
        self.trusted_hosts = _Trusted(self.trusted_hosts, namespace)

    def check(self, endpoint: Endpoint) -> None:
        """Return when the endpoint's host is allowed and its secret is there."""
        # The registry's own deployments are no hosts that an operator would list.
        if not (is_of_deployment(endpoint.api_key_secret) and is_loopback(endpoint.host)):
            self.check_host(endpoint.host)
        self.key_of(endpoint)

    def key_of(self, endpoint: Endpoint) -> str:
        """Return the endpoint's key, empty when it needs none.

        Raises:
            PermissionDenied: The endpoint's host may not see it.
        """
        return self.secret_for(endpoint.api_key_secret, endpoint.host, field="endpoint.api_key_secret")


class _Trusted(frozenset[str]):
    """Hosts by name, and every Service that the registry makes in a namespace."""

    def __new__(cls, hosts: Collection[str], namespace: str) -> Self:
        trusted = super().__new__(cls, hosts)
        trusted._suffix = f".{namespace}.svc"
        return trusted

    _suffix: str

    def __contains__(self, host: object) -> bool:
        is_deployment = isinstance(host, str) and host.startswith("drillyard-") and host.endswith(self._suffix)
        return is_deployment or super().__contains__(host)
