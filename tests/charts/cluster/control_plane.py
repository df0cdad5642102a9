"""A real Kubernetes control plane on loopback: etcd, API server and controllers, without a node.

The binaries are looked for where envtest's variable `KUBEBUILDER_ASSETS` points.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.charts.tools import Manifest, of_kind, require, run_program
from tests.machine import PATIENCE_SECONDS, free_ports

STOP_SECONDS = 10.0
_PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager")
_NAMES = "subjectAltName=DNS:localhost,DNS:kubernetes.default.svc,IP:127.0.0.1,IP:10.96.0.1"


@dataclass(frozen=True)
class ControlPlane:
    """A running control plane, reached as its administrator."""

    kubeconfig: Path

    def kubectl(self, *arguments: str) -> str:
        """Run kubectl and return what it prints."""
        done = run_program("kubectl", f"--kubeconfig={self.kubeconfig}", *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def objects(self, kinds: str, namespace: str) -> list[dict[str, Any]]:
        """Return all objects of these kinds (comma separated) in a namespace."""
        found: list[dict[str, Any]] = json.loads(self.kubectl("get", kinds, "-n", namespace, "-o", "json"))["items"]
        return found

    def kubeconfig_of(self, account: str, namespace: str, manifests: list[Manifest]) -> Path:
        """Give a service account the rights that `manifests` give it, and return a kubeconfig of it."""
        rights = [of_kind(manifests, kind)[account] for kind in ("ServiceAccount", "Role", "RoleBinding")]
        home = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
        file = self.kubeconfig.with_name(f"{account}.json")
        file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": [home, *rights]}))
        self.kubectl("apply", "-n", namespace, "-f", str(file))
        token = self.kubectl("create", "token", account, "-n", namespace).strip()
        config = json.loads(self.kubectl("config", "view", "--raw", "-o", "json"))
        config["users"][0]["user"] = {"token": token}
        file.write_text(json.dumps(config))
        return file

    def rights(
        self,
        accounts: Iterable[tuple[str, str]],
        resources: Sequence[tuple[str, str]],
        verbs: Sequence[str],
        namespace: str,
    ) -> dict[tuple[str, str], set[tuple[str, ...]]]:
        """Return what accounts of `namespace` may do, by (account, where), of every verb with every resource."""
        questions = [(who, (*item, verb)) for who in accounts for item in resources for verb in verbs]
        reviews = [_review(namespace, *question) for question in questions]
        file = self.kubeconfig.with_name("reviews.json")
        file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": reviews}))
        answers = self.kubectl("create", "-f", str(file), "-o", 'jsonpath={.status.allowed}{" "}').split()
        rights: dict[tuple[str, str], set[tuple[str, ...]]] = {who: set() for who in accounts}
        for (who, right), answer in zip(questions, answers, strict=True):
            if answer == "true":
                rights[who].add(right)
        return rights


def _review(namespace: str, who: tuple[str, str], right: tuple[str, str, str]) -> Manifest:
    group, resource, verb = right
    name, _, subresource = resource.partition("/")
    attributes = {"namespace": who[1], "group": group, "resource": name, "subresource": subresource, "verb": verb}
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": f"system:serviceaccount:{namespace}:{who[0]}", "resourceAttributes": attributes},
    }


def require_assets() -> Path:
    """Return the folder with the binaries, or skip the test and say how to get them."""
    named = os.environ.get("KUBEBUILDER_ASSETS", "")
    missing = [name for name in _PROGRAMS if not (Path(named) / name).is_file()] if named else list(_PROGRAMS)
    if not missing:
        return Path(named)
    lacking = ", ".join(missing)
    reason = f"KUBEBUILDER_ASSETS={named!r} lacks {lacking}: unpack a Kubernetes server release and etcd there"
    if named and os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@contextlib.contextmanager
def run_control_plane(folder: Path) -> Iterator[ControlPlane]:
    """Start a control plane that keeps everything in `folder`; it ends with the block."""
    assets, openssl = require_assets(), require("openssl")
    _make_certificates(folder, openssl)
    etcd_port, peer_port, api_port, controllers_port = free_ports(4)
    kubeconfig = _write_kubeconfig(folder, api_port)
    etcd_url, api_url = f"http://127.0.0.1:{etcd_port}", f"https://127.0.0.1:{api_port}"
    with ExitStack() as running:

        def start(name: str, *flags: str) -> Callable[[], str]:
            return running.enter_context(_running(assets / name, folder / f"{name}.log", flags))

        etcd = start("etcd", *_etcd_flags(folder, etcd_url, f"http://127.0.0.1:{peer_port}"))
        _wait_for(f"{etcd_url}/health", etcd)
        api = start("kube-apiserver", *_api_flags(folder, etcd_url, api_port))
        _wait_for(f"{api_url}/readyz", api, _client_context(folder))
        start("kube-controller-manager", *_controller_flags(folder, assets, kubeconfig, controllers_port))
        yield ControlPlane(kubeconfig)


def _etcd_flags(folder: Path, url: str, peer_url: str) -> list[str]:
    return [
        f"--data-dir={folder / 'etcd'}",
        "--unsafe-no-fsync",
        "--log-level=warn",
        f"--listen-client-urls={url}",
        f"--advertise-client-urls={url}",
        f"--listen-peer-urls={peer_url}",
        f"--initial-advertise-peer-urls={peer_url}",
        f"--initial-cluster=default={peer_url}",
    ]


def _api_flags(folder: Path, etcd_url: str, port: int) -> list[str]:
    return [
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        f"--secure-port={port}",
        f"--etcd-servers={etcd_url}",
        "--authorization-mode=Node,RBAC",
        f"--client-ca-file={folder / 'ca.crt'}",
        f"--tls-cert-file={folder / 'server.crt'}",
        f"--tls-private-key-file={folder / 'server.key'}",
        f"--service-account-key-file={folder / 'server.crt'}",
        f"--service-account-signing-key-file={folder / 'server.key'}",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--service-cluster-ip-range=10.96.0.0/16",
        "--endpoint-reconciler-type=none",
    ]


def _controller_flags(folder: Path, assets: Path, kubeconfig: Path, port: int) -> list[str]:
    version = subprocess.run(
        [assets / "kube-controller-manager", "--version"], check=True, capture_output=True, text=True
    )
    minor = re.search(r"v1\.(\d+)", version.stdout)
    # Older releases listen on a second, open port unless told not to; newer ones do not know the flag.
    old = ["--port=0"] if minor and int(minor.group(1)) < 24 else []
    return [
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        "--leader-elect=false",
        f"--service-account-private-key-file={folder / 'server.key'}",
        f"--root-ca-file={folder / 'ca.crt'}",
        *old,
    ]


@contextlib.contextmanager
def _running(program: Path, log_path: Path, flags: tuple[str, ...]) -> Iterator[Callable[[], str]]:
    """Run a program and yield a function that returns its last words once it has ended, else nothing."""
    with log_path.open("w") as log:
        process = subprocess.Popen([program, *flags], stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def last_words() -> str:
        return "" if process.poll() is None else f"{program.name} ended: {log_path.read_text()[-2000:]}"

    try:
        yield last_words
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_SECONDS)


def _wait_for(url: str, last_words: Callable[[], str], context: ssl.SSLContext | None = None) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end and not last_words():
        try:
            with urllib.request.urlopen(url, timeout=5, context=context):
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"{url} did not answer. {last_words()}")


def _make_certificates(folder: Path, openssl: str) -> None:
    def issue(name: str, subject: str, *options: str) -> None:
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", str(folder / f"{name}.key"))
        command = [openssl, "req", "-x509", *key, "-out", str(folder / f"{name}.crt"), "-days", "2", "-subj", subject]
        subprocess.run([*command, *options], check=True, capture_output=True)

    issue("ca", "/CN=scratch-ca")
    signed = ("-CA", str(folder / "ca.crt"), "-CAkey", str(folder / "ca.key"), "-addext", "basicConstraints=CA:FALSE")
    issue("server", "/CN=kube-apiserver", *signed, "-addext", _NAMES)
    issue("admin", "/O=system:masters/CN=admin", *signed, "-addext", "extendedKeyUsage=clientAuth")


def _client_context(folder: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    context.load_cert_chain(folder / "admin.crt", folder / "admin.key")
    return context


def _write_kubeconfig(folder: Path, api_port: int) -> Path:
    def encoded(name: str) -> str:
        return base64.b64encode((folder / name).read_bytes()).decode()

    cluster = {"server": f"https://127.0.0.1:{api_port}", "certificate-authority-data": encoded("ca.crt")}
    user = {"client-certificate-data": encoded("admin.crt"), "client-key-data": encoded("admin.key")}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "scratch",
        "clusters": [{"name": "scratch", "cluster": cluster}],
        "users": [{"name": "admin", "user": user}],
        "contexts": [{"name": "scratch", "context": {"cluster": "scratch", "user": "admin"}}],
    }
    path = folder / "kubeconfig"
    path.write_text(json.dumps(document))
    path.chmod(0o600)
    return path
