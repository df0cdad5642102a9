"""A hub of models: Hugging Face's API and file addresses over a server of files, weights on another host."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.unit.registry.sources.file_server import Asked, FileServer, Reply, serving_files

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "hf_secret"


class Hub:
    """Repositories by name, each with its files; those in `gated` give them to `TOKEN` alone."""

    def __init__(self, server: FileServer, other_host: FileServer) -> None:
        self.server, self.other_host = server, other_host
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.gated: set[str] = set()
        server.answer = self.answer

    @property
    def url(self) -> str:
        return self.server.url

    def add(self, repository: str, folder: Path) -> None:
        files = [path for path in folder.rglob("*") if path.is_file()]
        self.repositories[repository] = {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}

    def answer(self, asked: Asked) -> Reply | None:
        parts = asked.path.partition("?")[0].strip("/").split("/")
        if parts[:2] == ["api", "models"]:
            return self._api("/".join(parts[2:4]), parts[4:], asked)
        repository, name = "/".join(parts[:2]), "/".join(parts[4:])
        content = self.repositories.get(repository, {}).get(name)
        if content is None or parts[2:4] != ["resolve", COMMIT]:
            return Reply(404, {"x-error-code": "EntryNotFound"})
        if repository in self.gated and not self._may_see(asked):
            return Reply(403, {"x-error-code": "GatedRepo"})
        if not name.endswith((".safetensors", ".gguf")):
            self.server.files[asked.path] = content
            return None
        self.other_host.files[f"/blobs/{repository}/{name}"] = content
        return Reply(302, {"location": f"http://localhost:{self.other_host.port}/blobs/{repository}/{name}"})

    def _api(self, repository: str, rest: list[str], asked: Asked) -> Reply:
        files = self.repositories.get(repository)
        if files is None:
            return Reply(401, {"x-error-code": "RepoNotFound"})
        if rest == ["auth-check"]:
            return Reply(200) if self._may_see(asked) else Reply(403, {"x-error-code": "GatedRepo"})
        if rest and rest[1] not in ("main", COMMIT):
            return Reply(404, {"x-error-code": "RevisionNotFound"})
        gated = "manual" if repository in self.gated else False
        siblings = [_sibling(name, content) for name, content in files.items()]
        answer = {"id": repository, "sha": COMMIT, "gated": gated, "siblings": siblings}
        return Reply(200, {"content-type": "application/json"}, json.dumps(answer).encode())

    def _may_see(self, asked: Asked) -> bool:
        return asked.headers.get("authorization") == f"Bearer {TOKEN}"


def _sibling(name: str, content: bytes) -> dict[str, object]:
    oid = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
    entry: dict[str, object] = {"rfilename": name, "size": len(content), "blobId": oid}
    if name.endswith((".safetensors", ".gguf", ".bin")):
        digest = hashlib.sha256(content).hexdigest()
        entry["lfs"] = {"sha256": digest, "size": len(content), "pointerSize": 130}
    return entry


@asynccontextmanager
async def serving_hub() -> AsyncIterator[Hub]:
    async with serving_files() as server, serving_files() as other_host:
        yield Hub(server, other_host)
