"""A small kubelet on a real API server: it really starts what pods name, as containers by Linux's namespaces.

Programs and code are this machine's, in the place of an image; the user is this one. Mounts, environment, command, a
root that cannot be written, /tmp, processes, hooks, grace and logs are as the pod asks for them.
"""

from __future__ import annotations

import asyncio
import base64
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import psutil
import pytest

from services.chassis.machine.kubernetes.client import KubernetesClient, Manifest
from tests.charts.cluster.kubelet_logs import LogServer, start_timed
from tests.charts.cluster.pod_network import PodNetwork
from tests.charts.tools import ROOT, require

NODE: Final = "node-1"
_PAUSE_SECONDS = 0.1
_SCRATCH: Final = "/tmp"
# What the Dockerfile's images set.
_IMAGE: Final = {
    "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
    "PYTHONPATH": f"{ROOT}:{ROOT / 'proto' / 'gen'}",
    "PYTHONUNBUFFERED": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
}
# Beside its own mounts, a container sees this machine's programs; mount points below /etc are laid over what is there.
_START: Final = """set -e
mount -t overlay -o "ro,lowerdir=$1:/etc" none /etc
shift
while [ "$1" != -- ]; do
  [ -f "$1" ] || mkdir -p "$2"; mount --bind "$1" "$2"; [ "$3" = rw ] || mount -o remount,bind,ro "$2"; shift 3
done
shift
mount --rbind "$1" /tmp
mount -o remount,bind,ro /
shift
cd /tmp
exec "$@"
"""


@dataclass
class Container:
    """The container of a pod that was started: one of those before it, and then its only one.

    `unshare` is its parent outside; with it die all its processes. `later` are those that come after it.
    """

    pod: Manifest
    spec: Manifest
    unshare: subprocess.Popen[bytes]
    log: Path
    environment: dict[str, str]
    later: list[Manifest] = field(default_factory=list)
    stopping: asyncio.Task[None] | None = None

    def kill(self) -> None:
        """End every process at once, as the kernel does when it needs memory."""
        self.unshare.kill()

    async def stop(self) -> None:
        """Call the hook, ask the first process to end, and end all when the grace is over."""
        grace = self.pod["metadata"]["deletionGracePeriodSeconds"]
        try:
            async with asyncio.timeout(grace):
                (first,) = psutil.Process(self.unshare.pid).children()
                if hook := self.spec.get("lifecycle", {}).get("preStop"):
                    inside = ["nsenter", f"--target={first.pid}", "--mount", "--pid", "--", *hook["exec"]["command"]]
                    await (await asyncio.create_subprocess_exec(*inside, env=self.environment)).wait()
                first.terminate()
                while self.unshare.poll() is None:
                    await asyncio.sleep(_PAUSE_SECONDS)
        except (TimeoutError, ValueError, psutil.NoSuchProcess):
            self.unshare.kill()


@dataclass
class Kubelet:
    """Runs the pods of a namespace on a node that it makes.

    Attributes:
        client: The cluster, as its administrator.
        folder: For what pods write.
        claims: The folders behind volume claims.
        certificate: Of the node's own server, and its key.
        network: Of the pods; none: they have this machine's.
        image: Variables that the image sets besides the usual ones; to PYTHONPATH it adds.
        containers: All that were started, by pod.
    """

    client: KubernetesClient
    folder: Path
    claims: dict[str, Path]
    certificate: tuple[Path, Path]
    network: PodNetwork | None = None
    image: Mapping[str, str] = field(default_factory=dict)
    containers: dict[str, Container] = field(default_factory=dict)
    _volumes: dict[str, dict[str, Path]] = field(default_factory=dict)
    _before: dict[str, list[str]] = field(default_factory=dict)
    _tasks: asyncio.TaskGroup = field(default_factory=asyncio.TaskGroup)

    async def __aenter__(self) -> Self:
        require_namespaces()
        self._logs = LogServer(self.certificate, lambda name: self.containers[name])
        addresses = [{"type": "InternalIP", "address": "127.0.0.1"}]
        ports = {"kubeletEndpoint": {"Port": self._logs.port}}
        status = {"addresses": addresses, "daemonEndpoints": ports}
        await self._core("create_node", {"metadata": {"name": NODE}, "status": status})
        # Its faults end the test.
        await self._tasks.__aenter__()
        self._looking = self._tasks.create_task(self._look())
        return self

    async def __aexit__(self, *fault: Any) -> None:
        self._looking.cancel()
        for container in self.containers.values():
            container.kill()
            container.unshare.wait()
        self._logs.close()
        await self._core("delete_node", NODE)
        await self._tasks.__aexit__(*fault)

    async def pods(self) -> list[Manifest]:
        """Return all pods."""
        listing = await self._core("list_namespaced_pod", self.client.namespace)
        return list((listing or {})["items"])

    async def _core(self, method: str, *arguments: Any, **more: Any) -> Manifest | None:
        return await self.client.call("CoreV1Api", method, *arguments, **more)

    async def _look(self) -> None:
        while True:
            for pod in await self.pods():
                await self._reconcile(pod)
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _reconcile(self, pod: Manifest) -> None:
        name, is_deleted = pod["metadata"]["name"], "deletionTimestamp" in pod["metadata"]
        container = self.containers.get(name)
        if container is None:
            if not is_deleted:
                await self._start(pod)
        elif container.unshare.poll() is None:
            if is_deleted and container.stopping is None:
                container.pod = pod
                container.stopping = self._tasks.create_task(container.stop())
        elif is_deleted:
            await self._forget(name)
        elif container.later and container.unshare.returncode == 0:
            await self._start_next(pod, container.later)
        elif pod["status"]["phase"] == "Running":
            code = container.unshare.returncode
            code = 128 - code if code < 0 else code
            state = {"terminated": {"exitCode": code, "reason": "Error" if code else "Completed"}}
            await self._say(pod, "Failed" if code else "Succeeded", state)

    async def _forget(self, name: str) -> None:
        if self.network:
            self.network.leave(name)
        await self._core("delete_namespaced_pod", name, self.client.namespace, grace_period_seconds=0, absent=404)

    async def _start(self, pod: Manifest) -> None:
        name, place = pod["metadata"]["name"], self.client.namespace
        binding = {"metadata": {"name": name}, "target": {"kind": "Node", "name": NODE}}
        # The library takes the server's answer for none.
        bind = ("CoreV1Api", "create_namespaced_pod_binding", (name, place, binding), {"_preload_content": False})
        await asyncio.to_thread(self.client._answer, *bind)
        spec = pod["spec"]
        self._volumes[name] = {item["name"]: await self._volume(item, self.folder / name) for item in spec["volumes"]}
        if self.network:
            listing = await self._core("list_namespaced_service", place)
            self._before[name] = self.network.join(pod, (listing or {})["items"])
        await self._start_next(pod, [*spec.get("initContainers", ()), *spec["containers"]])

    async def _start_next(self, pod: Manifest, specs: list[Manifest]) -> None:
        (spec, *later), name = specs, pod["metadata"]["name"]
        folder = self.folder / name
        path = ":".join(filter(None, (_IMAGE["PYTHONPATH"], self.image.get("PYTHONPATH"))))
        own = {item["name"]: await self._value(item, pod) for item in spec.get("env") or ()}
        environment = {**_IMAGE, **self.image, "PYTHONPATH": path, **own}
        hosts = [str(self.network.hosts), "/etc/hosts", "ro"] if self.network else []
        mounts = _mounts(spec["volumeMounts"], self._volumes[name], folder / spec["name"], hosts)
        command = [*self._before.get(name, ()), *namespaces(), "sh", "-c", _START, "sh", *mounts]
        log = folder / f"{spec['name']}.log"
        process = start_timed([*command, *spec["command"], *(spec.get("args") or ())], environment, log)
        self.containers[name] = Container(pod, spec, process, log, environment, later)
        if not later:
            await self._say(pod, "Running", {"running": {}})

    async def _value(self, variable: Manifest, pod: Manifest) -> str:
        match variable.get("valueFrom"):
            case {"secretKeyRef": {"name": name, "key": key}}:
                secret = await self._core("read_namespaced_secret", name, self.client.namespace)
                return base64.b64decode((secret or {})["data"][key]).decode()
            case {"fieldRef": {"fieldPath": str(path)}}:
                attribute, _, label = path.removeprefix("metadata.").removesuffix("']").partition("['")
                found = pod["metadata"][attribute]
                return str(found[label] if label else found)
        return str(variable.get("value", ""))

    async def _volume(self, volume: Manifest, folder: Path) -> Path:
        place = folder / str(volume["name"])
        if claim := volume.get("persistentVolumeClaim"):
            return self.claims[claim["claimName"]]
        place.mkdir(parents=True)
        if secret := volume.get("secret"):
            found = await self._core("read_namespaced_secret", secret["secretName"], self.client.namespace)
            for key, value in ((found or {}).get("data") or {}).items():
                (place / key).write_bytes(base64.b64decode(value))
        return place

    async def _say(self, pod: Manifest, phase: str, state: Manifest) -> None:
        container = pod["spec"]["containers"][0]
        status = {"name": container["name"], "image": container["image"], "imageID": "", "restartCount": 0}
        body = {"status": {"phase": phase, "containerStatuses": [{**status, "ready": True, "state": state}]}}
        if self.network:
            body["status"]["podIP"] = self.network.addresses[pod["metadata"]["name"]]
        place = (pod["metadata"]["name"], self.client.namespace, body)
        await self._core("patch_namespaced_pod_status", *place, absent=404)


def _mounts(mounts: list[Manifest], volumes: dict[str, Path], points: Path, more: list[str]) -> list[str]:
    """Return the words that `_START` takes: what lies over /etc, source, place and right of each mount, and /tmp."""
    points.mkdir(parents=True)
    scratch = next(volumes[item["name"]] for item in mounts if item["mountPath"] == _SCRATCH)
    words: list[str] = []
    shown = [(ROOT, str(ROOT), "ro"), (Path(sys.prefix), sys.prefix, "ro")]
    wanted = [
        (volumes[item["name"]] / item.get("subPath", ""), item["mountPath"], "ro" if item.get("readOnly") else "rw")
        for item in mounts
        if item["mountPath"] != _SCRATCH
    ]
    for source, path, right in (*shown, *wanted):
        below = Path(path).parts[2:]
        if path.startswith("/etc/"):
            points.joinpath(*below).mkdir(parents=True)
        is_covered = path.startswith(f"{_SCRATCH}/")
        words += [str(source), str(scratch.joinpath(*below)) if is_covered else path, right]
    return [str(points), *words, *more, "--", str(scratch)]


def namespaces() -> list[str]:
    """Return the words before a command that give it mounts and processes of its own."""
    user = [] if os.geteuid() == 0 else ["--map-root-user"]
    return ["unshare", *user, "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"]


def require_namespaces() -> None:
    """Skip the test where the kernel does not let this user make containers."""
    require("tini")
    done = subprocess.run([*namespaces(), "true"], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"Linux namespaces are not for this user: {done.stderr.strip()}; run it as root")
