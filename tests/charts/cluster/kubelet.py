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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import psutil
import pytest

from services.chassis.machine.kubernetes.client import KubernetesClient, Manifest
from tests.charts.cluster.kubelet_logs import LogServer, start_timed
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
  mkdir -p "$2"; mount --bind "$1" "$2"; [ "$3" = rw ] || mount -o remount,bind,ro "$2"; shift 3
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
    """The one container of a pod, which was started.

    `unshare` is its parent outside; with it die all its processes.
    """

    pod: Manifest
    unshare: subprocess.Popen[bytes]
    log: Path
    environment: dict[str, str]
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
                hook = self.pod["spec"]["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
                inside = ["nsenter", f"--target={first.pid}", "--mount", "--pid", "--", *hook]
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
        containers: All that were started, by pod.
    """

    client: KubernetesClient
    folder: Path
    claims: dict[str, Path]
    certificate: tuple[Path, Path]
    containers: dict[str, Container] = field(default_factory=dict)
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
            await self._core("delete_namespaced_pod", name, self.client.namespace, grace_period_seconds=0, absent=404)
        elif pod["status"]["phase"] == "Running":
            code = container.unshare.returncode
            code = 128 - code if code < 0 else code
            state = {"terminated": {"exitCode": code, "reason": "Error" if code else "Completed"}}
            await self._say(pod, "Failed" if code else "Succeeded", state)

    async def _start(self, pod: Manifest) -> None:
        name, place = pod["metadata"]["name"], self.client.namespace
        binding = {"metadata": {"name": name}, "target": {"kind": "Node", "name": NODE}}
        # The library takes the server's answer for none.
        bind = ("CoreV1Api", "create_namespaced_pod_binding", (name, place, binding), {"_preload_content": False})
        await asyncio.to_thread(self.client._answer, *bind)
        folder = self.folder / name
        volumes = {item["name"]: await self._volume(item, folder) for item in pod["spec"]["volumes"]}
        (spec,) = pod["spec"]["containers"]
        environment = {**_IMAGE, **{item["name"]: item["value"] for item in spec.get("env") or ()}}
        command = [*namespaces(), "sh", "-c", _START, "sh", *_mounts(spec["volumeMounts"], volumes, folder)]
        log = folder / "log"
        process = start_timed([*command, *spec["command"]], environment, log)
        self.containers[name] = Container(pod, process, log, environment)
        await self._say(pod, "Running", {"running": {}})

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
        place = (pod["metadata"]["name"], self.client.namespace, body)
        await self._core("patch_namespaced_pod_status", *place, absent=404)


def _mounts(mounts: list[Manifest], volumes: dict[str, Path], folder: Path) -> list[str]:
    """Return the words that `_START` takes: what lies over /etc, source, place and right of each mount, and /tmp."""
    points = folder / "etc"
    points.mkdir()
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
    return [str(points), *words, "--", str(scratch)]


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
