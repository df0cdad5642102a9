"""A server that speaks as much of a Hugging Face hub's protocol as a commit takes."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "hf_test"


@dataclass
class Hub:
    """What the server holds.

    Attributes:
        files: Content by repository and path, as of the newest commit on `main`.
        blobs: What was uploaded by digest; invisible until a commit names it.
        requests: Verb and path of each request.
        refuse_commit: Status with which the next commits are answered; 0 to take them.
    """

    url: str = ""
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    private: dict[str, bool] = field(default_factory=dict)
    num_commits: int = 0
    requests: list[str] = field(default_factory=list)
    refuse_commit: int = 0

    @property
    def head(self) -> str:
        """The newest commit."""
        return hashlib.sha1(str(self.num_commits).encode()).hexdigest()


@contextmanager
def hub_server() -> Iterator[Hub]:
    """Lend a hub on this machine."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        self.hub.requests.append(f"{self.command} {self.path}")

    def do_GET(self) -> None:
        body = self._read()
        repository, place = self._place()
        if repository not in self.hub.files:
            self._answer({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})
        elif place.startswith("tree/"):
            self._answer([_entry(path, content) for path, content in self.hub.files[repository].items()])
        else:
            assert not body
            self._answer({"id": repository, "sha": self.hub.head, "siblings": []})

    def do_PUT(self) -> None:
        self.hub.blobs[self.path.rpartition("/")[2]] = self._read()
        self._answer({})

    def do_POST(self) -> None:
        body = self._read()
        if self.headers.get("authorization") != f"Bearer {TOKEN}":
            self._answer({"error": "Invalid credentials"}, 401)
        elif self.path == "/api/repos/create":
            self._create(json.loads(body))
        elif self.path.endswith("/objects/batch"):
            self._answer({"transfer": "basic", "objects": list(map(self._upload, json.loads(body)["objects"]))})
        elif self.path == "/api/validate-yaml":
            self._answer({"errors": [], "warnings": []})
        elif "/preupload/" in self.path:
            self._answer({"files": list(map(_mode, json.loads(body)["files"]))})
        else:
            self._commit([json.loads(line) for line in body.splitlines()])

    def _create(self, wanted: dict[str, Any]) -> None:
        kind = "datasets/" if wanted.get("type") == "dataset" else ""
        repository = f"{kind}{wanted['organization']}/{wanted['name']}"
        status = 409 if repository in self.hub.files else 200
        if status == 200:
            self.hub.files[repository] = {".gitattributes": b"*.gguf filter=lfs"}
            self.hub.private[repository] = bool(wanted.get("private")) or wanted.get("visibility") == "private"
        self._answer({"url": f"{self.hub.url}/{repository}"}, status)

    def _upload(self, wanted: dict[str, Any]) -> dict[str, Any]:
        if wanted["oid"] in self.hub.blobs:
            return wanted
        return wanted | {"actions": {"upload": {"href": f"{self.hub.url}/lfs/{wanted['oid']}"}}}

    def _commit(self, lines: list[dict[str, Any]]) -> None:
        if self.hub.refuse_commit:
            self._answer({"error": "No room left"}, self.hub.refuse_commit)
            return
        files = self.hub.files[self._place()[0]]
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.hub.blobs[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        self.hub.num_commits += 1
        url = f"{self.hub.url}/{self._place()[0]}/commit/{self.hub.head}"
        self._answer({"success": True, "commitOid": self.hub.head, "commitUrl": url})

    def _place(self) -> tuple[str, str]:
        kind, owner, name, *rest = self.path.partition("?")[0].removeprefix("/api/").split("/")
        return f"{'datasets/' if kind == 'datasets' else ''}{owner}/{name}", "/".join(rest)

    def _read(self) -> bytes:
        if self.headers.get("transfer-encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("content-length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _answer(self, document: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        content = json.dumps(document).encode()
        self.send_response(status)
        for name, value in {
            "content-type": "application/json",
            "content-length": str(len(content)),
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


def _is_large(path: str) -> bool:
    return path.endswith((".safetensors", ".gguf"))


def _mode(file: dict[str, Any]) -> dict[str, Any]:
    return {"path": file["path"], "uploadMode": "lfs" if _is_large(file["path"]) else "regular", "shouldIgnore": False}


def _entry(path: str, content: bytes) -> dict[str, Any]:
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    entry: dict[str, Any] = {"type": "file", "path": path, "size": len(content), "oid": blob}
    if _is_large(path):
        entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
    return entry
