"""Which hosts a service may ask, and which secrets they may see."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from services.chassis.errors import PermissionDenied
from services.chassis.machine.secrets import Secrets, spelling_of
from services.chassis.settings import is_loopback


@dataclass(frozen=True)
class HostVariables:
    """The environment variables in which an operator names hosts, for messages."""

    hosts: str
    secret_hosts: str


class HostPolicy:
    """What an operator allows.

    Args:
        hosts: Those that may be asked, wherever they are; empty for every host of the internet and this machine.
        secrets: Read when they are needed.
        secret_hosts: The hosts that may see a secret, by its name; such a host may be asked, wherever it is. A secret
            that is not in it is shown to `hosts` and to this machine alone.
        variables: Where the operator sets both.
    """

    def __init__(
        self,
        hosts: Collection[str],
        secrets: Secrets,
        secret_hosts: Mapping[str, Collection[str]] | None = None,
        *,
        variables: HostVariables,
    ) -> None:
        self._hosts = frozenset(map(str.lower, hosts))
        self._secrets = secrets
        self._secret_hosts = {
            spelling_of(name): frozenset(map(str.lower, names)) for name, names in (secret_hosts or {}).items()
        }
        self._variables = variables
        self.trusted_hosts = self._hosts.union(*self._secret_hosts.values())

    def check_host(self, host: str) -> None:
        """Raise PermissionDenied unless the host may be asked."""
        if self._hosts and host.lower() not in self.trusted_hosts:
            raise PermissionDenied(
                f"The host {host} is not among those that may be asked.",
                f"Use another, or have the operator add the host to {self._variables.hosts}.",
            )

    def inward(self, host: str) -> PermissionDenied:
        """Return the refusal of a host that is not on the internet, and that an operator would have to name."""
        return PermissionDenied(
            f"The host {host} is this machine, or in a network of its own.",
            f"Use another, or have the operator add the host to {self._variables.hosts}.",
        )

    def secret_for(self, name: str, host: str, *, field: str, is_chosen: bool = False) -> str:
        """Return the secret `name`, which `host` is going to see; empty for an empty name.

        A host that the operator chose by a setting, `is_chosen`, sees what has no list of its own.

        Raises:
            PermissionDenied: The host may not see it.
            InvalidArgument, FailedPrecondition: As `Secrets.value_of`.
        """
        if not name:
            return ""
        secret = self._secrets.value_of(name, field)
        own_hosts = self._secret_hosts.get(spelling_of(name))
        hosts = self._hosts if own_hosts is None else own_hosts
        is_own = own_hosts is None and (is_chosen or is_loopback(host))
        if host.lower() not in hosts and not is_own:
            raise PermissionDenied(
                f"The host {host} may not see the secret {name}.",
                f"Have the operator name the host for this secret in {self._variables.secret_hosts}.",
            )
        return secret
