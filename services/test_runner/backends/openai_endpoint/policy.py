"""Which endpoints may be asked, and with which keys."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path

from services.chassis.errors import FailedPrecondition, InvalidArgument, PermissionDenied
from services.chassis.settings import is_loopback
from services.test_runner.domain import Endpoint

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_ENVIRONMENT_PREFIX = "TEST_RUNNER_SECRET_"
_MAX_KEY_BYTES = 8192


class EndpointKeys:
    """Reads keys from files of a folder, as a cluster mounts its secrets, or from the environment; keeps none.

    Args:
        folder: Holds one file per secret; None for the environment alone.
        environment: Where `TEST_RUNNER_SECRET_<NAME>` is looked up.
    """

    def __init__(self, folder: Path | None, environment: Mapping[str, str] = os.environ) -> None:
        self._folder = folder
        self._environment = environment

    def key_of(self, name: str) -> str:
        """Return the key that the secret `name` holds.

        Raises:
            InvalidArgument: It is no name of a secret.
            FailedPrecondition: There is no such secret, or it is empty.
        """
        if not _NAME.fullmatch(name):
            raise InvalidArgument(
                "The name of the secret may have letters, digits, - and _ alone.",
                "Name the secret that holds the key; never give the key itself.",
                field="endpoint.api_key_secret",
            )
        variable = _variable_of(name)
        key = self._from_file(name) or self._environment.get(variable, "").strip()
        if not key:
            raise FailedPrecondition(
                f"The secret {name} that should hold the endpoint's key is not there.",
                f"Put it into a file of that name in TEST_RUNNER_SECRETS_DIR, or set {variable}.",
            )
        return key

    def _from_file(self, name: str) -> str:
        if self._folder is None or not (self._folder / name).is_file():
            return ""
        with (self._folder / name).open("rb") as file:
            return file.read(_MAX_KEY_BYTES).decode("utf-8", "replace").strip()


class OperatorPolicy:
    """Decides which hosts are asked, at which addresses, and which keys they may see.

    Args:
        hosts: Those that may be asked, wherever they are; empty for every host of the internet and this machine.
        keys: Read when they are needed.
        key_hosts: The hosts that may see a key, by the name of its secret; such a host may be asked, wherever it is.
            A key that is not in it is shown to `hosts` and to this machine alone.
    """

    def __init__(
        self, hosts: Collection[str], keys: EndpointKeys, key_hosts: Mapping[str, Collection[str]] | None = None
    ) -> None:
        self._hosts = frozenset(map(str.lower, hosts))
        self._keys = keys
        self._key_hosts = {_variable_of(name): set(map(str.lower, names)) for name, names in (key_hosts or {}).items()}
        self.trusted_hosts = self._hosts.union(*self._key_hosts.values())

    def check(self, endpoint: Endpoint) -> None:
        """Return when the endpoint's host is allowed and its secret is there."""
        if self._hosts and endpoint.host not in self.trusted_hosts:
            raise PermissionDenied(
                f"The host {endpoint.host} is not among those that endpoints may be at.",
                "Use another endpoint, or have the operator add the host to TEST_RUNNER_ENDPOINT_HOSTS.",
            )
        self.key_of(endpoint)

    def key_of(self, endpoint: Endpoint) -> str:
        """Return the endpoint's key, empty when it needs none.

        Raises:
            PermissionDenied: The endpoint's host may not see it.
        """
        if not endpoint.api_key_secret:
            return ""
        key = self._keys.key_of(endpoint.api_key_secret)
        own_hosts = self._key_hosts.get(_variable_of(endpoint.api_key_secret))
        hosts = self._hosts if own_hosts is None else own_hosts
        if endpoint.host not in hosts and not (own_hosts is None and is_loopback(endpoint.host)):
            raise PermissionDenied(
                f"The host {endpoint.host} may not see the key in the secret {endpoint.api_key_secret}.",
                "Have the operator name the host for this secret in TEST_RUNNER_ENDPOINT_KEY_HOSTS.",
            )
        return key


def _variable_of(name: str) -> str:
    return _ENVIRONMENT_PREFIX + name.upper().replace("-", "_")
