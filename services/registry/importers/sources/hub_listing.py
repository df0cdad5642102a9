"""Asks a Hugging Face hub what a repository holds: `python -m … REPOSITORY REVISION`, in a limited process.

Reads `HF_ENDPOINT`, `HF_HUB_OFFLINE`, `HF_HOME` and the token in `HF_TOKEN`. Prints one line of JSON: `commit`, `base`
(the address of the commit's files) and `files`, each with name, size and digest; offline `folder`, where the snapshot
lies in the hub's cache; or `problem` and `next_step`.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import httpx2
from huggingface_hub import HfApi, constants, get_token, hf_hub_url, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import ModelInfo, RepoSibling

_TIMEOUT_SECONDS = 30.0


def list_repository(repository: str, revision: str) -> dict[str, Any]:
    """Return what the hub holds at a revision, empty for the default one; or where its snapshot lies, when offline."""
    if constants.HF_HUB_OFFLINE:
        return {"folder": snapshot_download(repository, revision=revision or None, local_files_only=True)}
    api = HfApi(token=get_token() or False)
    info = api.model_info(repository, revision=revision or None, files_metadata=True, timeout=_TIMEOUT_SECONDS)
    if info.gated:
        api.auth_check(repository)
    return {"commit": info.sha, "files": [_entry(info, repository, file) for file in info.siblings or ()]}


def _entry(info: ModelInfo, repository: str, file: RepoSibling) -> dict[str, Any]:
    digest = f"sha256:{file.lfs.sha256}" if file.lfs else f"git-sha1:{file.blob_id}"
    url = hf_hub_url(repository, file.rfilename, revision=info.sha)
    return {"name": file.rfilename, "size_bytes": file.size, "digest": digest, "url": url}


def refusal(error: Exception, repository: str, revision: str) -> dict[str, str] | None:
    """Return what is wrong and what to do next; None for an error that is none of the user's doing."""
    hub = constants.ENDPOINT
    has_token = get_token() is not None
    if isinstance(error, GatedRepoError):
        first = "Ask for access" if has_token else "Accept its terms"
        then = (
            "with the account of the token" if has_token else "and name the secret that holds a token of that account"
        )
        return _refusal(f"{repository} is gated.", f"{first} at {hub}/{repository} {then}, then import again.")
    if isinstance(error, RevisionNotFoundError):
        return _refusal(
            f"{repository} has no revision {revision!r}.", f"See its branches and tags at {hub}/{repository}/refs."
        )
    if isinstance(error, RepositoryNotFoundError):
        token = "that the token's account may read it" if has_token else "name the secret of a token if it is private"
        return _refusal(f"{hub} has no repository {repository}, or it is private.", f"Check the name, and {token}.")
    if isinstance(error, LocalEntryNotFoundError):
        return _refusal(
            f"{repository} is not in the hub's cache of this machine, and the hub is not asked (HF_HUB_OFFLINE).",
            "Put a whole snapshot into the cache with `hf download`, or allow the registry to ask the hub.",
        )
    if isinstance(error, HFValidationError):
        return _refusal(f"{repository!r} is no name of a repository.", 'Write it as "owner/name".')
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        return _refusal(
            f"{hub} answers with status {status}.", "Check the name, the token and the hub, then try again."
        )
    return None


def _refusal(problem: str, next_step: str) -> dict[str, str]:
    return {"problem": problem, "next_step": next_step}


def main(arguments: list[str]) -> int:
    """Print what the hub holds, or why that cannot be told."""
    repository, revision = arguments
    try:
        line = list_repository(repository, revision)
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError) as error:
        line = refusal(error, repository, revision) or {}
    except (httpx2.TransportError, OSError) as error:
        line = {"away": f"{constants.ENDPOINT} does not answer ({error})."}
    print(json.dumps(line))
    return 1 if "problem" in line or "away" in line else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
