"""A network of pods on this machine: each in a namespace with an address of its own, and names as a cluster's DNS has.

Nothing leaves the machine: the addresses are of a range that is kept for documents, and are forwarded nowhere.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

import pytest

from tests.charts.tools import Manifest, require

# The first is the node's.
_HOSTS: Final = "198.51.100"
NODE_ADDRESS: Final = f"{_HOSTS}.1"
_FIRST_POD: Final = 2


@dataclass
class PodNetwork:
    """A bridge with the namespaces of pods; it ends with the block.

    Attributes:
        hosts: The file by which pods find each other and the heads of services.
        addresses: Of each pod that has joined, by name.
    """

    hosts: Path
    addresses: dict[str, str] = field(default_factory=dict)
    _names: dict[str, list[str]] = field(default_factory=dict)
    _bridge: str = f"dy{os.getpid()}"

    def __enter__(self) -> Self:
        if os.geteuid() != 0:
            pytest.skip("A network of pods needs root: run this test by sudo -E .venv/bin/pytest")
        self._tell()
        _ip("link", "add", self._bridge, "type", "bridge")
        _ip("address", "add", f"{NODE_ADDRESS}/24", "dev", self._bridge)
        _ip("link", "set", self._bridge, "up")
        return self

    def __exit__(self, *_: object) -> None:
        for number, name in enumerate(map(self._namespace, list(self.addresses)), start=1):
            # A namespace goes when the last of its processes has gone, and its wire with it.
            _ip("link", "delete", f"{self._bridge}v{number}", check=False)
            _ip("netns", "delete", name, check=False)
        _ip("link", "delete", self._bridge, check=False)

    def join(self, pod: Manifest, services: list[Manifest]) -> list[str]:
        """Give a pod its address and names, and return the words before a command that runs there."""
        name = pod["metadata"]["name"]
        address = f"{_HOSTS}.{_FIRST_POD + len(self.addresses)}"
        self.addresses[name] = address
        namespace, wire = self._namespace(name), f"{self._bridge}v{len(self.addresses)}"
        _ip("netns", "add", namespace)
        _ip("link", "add", wire, "type", "veth", "peer", "name", "eth0", "netns", namespace)
        _ip("link", "set", wire, "master", self._bridge, "up")
        inside = ("-netns", namespace)
        _ip(*inside, "address", "add", f"{address}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            _ip(*inside, "link", "set", device, "up")
        _ip(*inside, "route", "add", "default", "via", NODE_ADDRESS)
        self._names[name] = [name, *_names(pod, services)]
        self._tell()
        return ["nsenter", f"--net=/run/netns/{namespace}", "unshare", "--uts", "sh", "-c", _NAMED, name]

    def leave(self, pod: str) -> None:
        """Forget the names of a pod that has ended."""
        if self._names.pop(pod, None):
            self._tell()

    def address_of(self, host: str) -> str:
        """Return the address of the pod that has a name now; empty when none has."""
        return next((self.addresses[pod] for pod, names in self._names.items() if host in names), "")

    def _tell(self) -> None:
        # Pods have mounted this very file, so it is written in place.
        lines = [" ".join([self.addresses[pod], *names]) for pod, names in self._names.items()]
        self.hosts.write_text("\n".join(["127.0.0.1 localhost", *lines, ""]))

    def _namespace(self, pod: str) -> str:
        return f"{self._bridge}-{list(self.addresses).index(pod)}"


_NAMED: Final = 'hostname "$0"; exec "$@"'


def _names(pod: Manifest, services: list[Manifest]) -> list[str]:
    """Return the names of the services that a pod answers for; without an address of their own they have the pod's."""
    labels = pod["metadata"].get("labels", {}).items()
    chosen = [
        service["metadata"] for service in services if service["spec"].get("selector", {"": ""}).items() <= labels
    ]
    return [f"{item['name']}.{item['namespace']}.svc.cluster.local" for item in chosen]


def _ip(*words: str, check: bool = True) -> None:
    subprocess.run([require("ip"), *words], check=check, capture_output=True)
