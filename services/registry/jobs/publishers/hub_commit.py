"""Commits a folder to a Hugging Face hub: `python -m services.registry.jobs.publishers.hub_commit`.

Reads one JSON object from the variable `HUB_COMMIT`, with the fields of `Request`.
Prints JSON lines: `done` and `total` in bytes, and last `location`; or `code`, `problem` and `next_step`.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.hf_api import RepoFile

# The hub makes it itself.
_OF_THE_HUB = (".gitattributes",)
_EXISTS = "ALREADY_EXISTS"
_DENIED = "PERMISSION_DENIED"
_AWAY = "UNAVAILABLE"
_REFUSED = "FAILED_PRECONDITION"
_TOKEN = "Give the name of a secret with a token that may write there."
_STATUS = {401: (_DENIED, _TOKEN), 403: (_DENIED, _TOKEN), 412: (_EXISTS, "Someone else wrote to it; publish again.")}


@dataclass(frozen=True)
class Request:
    """What is committed where."""

    endpoint: str
    token: str
    repo_id: str
    branch: str
    folder: str
    replace: bool
    message: str
    repo_type: str

    @property
    def where(self) -> dict[str, Any]:
        """The repository, as the hub's client takes it."""
        return {"repo_id": self.repo_id, "repo_type": self.repo_type}

    def commit_url(self, commit: str) -> str:
        """Return the page of a commit."""
        kind = "datasets/" if self.repo_type == "dataset" else ""
        return f"{self.endpoint}/{kind}{self.repo_id}/commit/{commit}"


class Refusal(Exception):
    """The commit cannot be made; `code` is the name of an error's class on the wire."""

    def __init__(self, code: str, problem: str, next_step: str) -> None:
        super().__init__(problem)
        self.code, self.problem, self.next_step = code, problem, next_step


def commit(request: Request) -> Iterator[dict[str, Any]]:
    """Yield progress, then where the files are; nothing is visible before the one commit that makes all of it so.

    Raises:
        Refusal: The repository has other files, or the hub does not take the commit.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    api = HfApi(endpoint=request.endpoint, token=request.token or False)
    api.create_repo(**request.where, private=True, exist_ok=True)
    head, files = _head(api, request)
    folder = Path(request.folder)
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    additions = [CommitOperationAdd(path.relative_to(folder).as_posix(), str(path)) for path in paths]
    if _is_same(files, additions):
        yield {"location": request.commit_url(head)}
        return
    if files and not request.replace:
        raise Refusal(
            _EXISTS,
            f"The repository {request.repo_id} holds other files on its branch {request.branch}.",
            "Choose another name or branch, or ask to replace what is there.",
        )
    yield from _send(api, request, additions)
    names = {addition.path_in_repo for addition in additions}
    stale = [CommitOperationDelete(name) for name in sorted(files) if name not in names]
    done = api.create_commit(
        **request.where,
        operations=[*stale, *additions],
        commit_message=request.message,
        revision=request.branch,
        parent_commit=head,
    )
    yield {"location": done.commit_url}


def _head(api: HfApi, request: Request) -> tuple[str, dict[str, RepoFile]]:
    """Return the branch's commit, made when it is new, and its files."""
    from huggingface_hub.errors import RevisionNotFoundError
    from huggingface_hub.hf_api import RepoFile

    try:
        head = api.repo_info(**request.where, revision=request.branch).sha
    except RevisionNotFoundError:
        api.create_branch(**request.where, branch=request.branch)
        head = api.repo_info(**request.where, revision=request.branch).sha
    tree = api.list_repo_tree(**request.where, recursive=True, revision=head)
    files = {entry.path: entry for entry in tree if isinstance(entry, RepoFile) and entry.path not in _OF_THE_HUB}
    return str(head), files


def _is_same(files: dict[str, RepoFile], additions: list[CommitOperationAdd]) -> bool:
    return len(files) == len(additions) and all(
        addition.path_in_repo in files and _has_bytes(files[addition.path_in_repo], addition) for addition in additions
    )


def _has_bytes(file: RepoFile, addition: CommitOperationAdd) -> bool:
    if file.lfs is not None:
        return bool(file.lfs.sha256 == addition.upload_info.sha256.hex())
    content = Path(str(addition.path_or_fileobj)).read_bytes() if file.size == addition.upload_info.size else b""
    # As git names a file's content.
    return bool(file.blob_id == hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest())


def _send(api: HfApi, request: Request, additions: list[CommitOperationAdd]) -> Iterator[dict[str, Any]]:
    """Upload the large files one by one; the small ones go with the commit."""
    done, total = 0, sum(addition.upload_info.size for addition in additions)
    yield {"done": done, "total": total}
    for addition in additions:
        api.preupload_lfs_files(**request.where, additions=[addition], revision=request.branch, num_threads=1)
        done += addition.upload_info.size
        yield {"done": done, "total": total}


def main() -> int:
    """Print the lines of one commit; return 0, or 2 after a refusal."""
    request = Request(**json.loads(os.environ.pop("HUB_COMMIT")))
    with tempfile.TemporaryDirectory() as home:
        # Read when the library is imported: it keeps nothing of this call, and uploads by plain HTTP.
        os.environ |= {"HF_HOME": home, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
        os.environ |= {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}
        from httpx2 import HTTPError

        try:
            for line in commit(request):
                print(json.dumps(line), flush=True)
        except Refusal as error:
            print(json.dumps({"code": error.code, "problem": error.problem, "next_step": error.next_step}), flush=True)
            return 2
        except (HTTPError, OSError, ValueError) as error:
            print(json.dumps(_described(error, request)), flush=True)
            return 2
    return 0


def _described(error: Exception, request: Request) -> dict[str, str]:
    response = getattr(error, "response", None)
    if response is None:
        problem = f"The hub at {request.endpoint} does not answer ({type(error).__name__})."
        return {"code": _AWAY, "problem": problem, "next_step": "Try again once it is reachable."}
    code, next_step = _STATUS.get(response.status_code, (_REFUSED, "Mend what it says, then publish again."))
    words = str(getattr(error, "server_message", "") or "")[:300]
    problem = f"The hub refuses {request.repo_id} with status {response.status_code}{f': {words}' if words else ''}."
    return {"code": code, "problem": problem, "next_step": next_step}


if __name__ == "__main__":
    sys.exit(main())
