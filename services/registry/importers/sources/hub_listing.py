"""Asks a Hugging Face hub what a repository holds: `python -m … REPOSITORY REVISION`, in a limited process.

Reads `HF_ENDPOINT`, `HF_HUB_OFFLINE`, `HF_HOME` and the token in `HF_TOKEN`. Prints one line of JSON: `commit`, and
`files`, each with name, size, digest and address; offline `folder`, where the snapshot lies in the hub's cache; `away`
when the hub does not answer; or `problem` and `next_step`.
"""

from __future__ import annotations

import json
import re
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

_TIMEOUT_SECONDS = 30.0
_FIRST_SERVER_STATUS = 500
# Says nothing that its words do not.
_ERRNO = re.compile(r"^\[Errno -?\d+\] ")


def listed(repository: str, revision: str, hub: str) -> dict[str, Any]:
    """Return what the hub at an address holds at a revision, empty for the default one, or why it is not told."""
    try:
        return _list(repository, revision, hub)
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError) as error:
        return _explained(error, repository, revision, hub)
    except (httpx2.TransportError, OSError) as error:
        return {"away": f"{hub} does not answer ({_ERRNO.sub('', str(error)) or type(error).__name__})."}


def _list(repository: str, revision: str, hub: str) -> dict[str, Any]:
    if constants.HF_HUB_OFFLINE:
        return {"folder": snapshot_download(repository, revision=revision or None, local_files_only=True)}
    api = HfApi(endpoint=hub, token=get_token() or False)
    info = api.model_info(repository, revision=revision or None, files_metadata=True, timeout=_TIMEOUT_SECONDS)
    if info.gated:
        api.auth_check(repository)
    files = [
        {
            "name": file.rfilename,
            "size_bytes": file.size,
            "digest": f"sha256:{file.lfs.sha256}" if file.lfs else f"git-sha1:{file.blob_id}",
            "url": hf_hub_url(repository, file.rfilename, revision=info.sha, endpoint=hub),
        }
        for file in info.siblings or ()
    ]
    return {"commit": info.sha, "files": files}


def _explained(error: Exception, repository: str, revision: str, hub: str) -> dict[str, str]:
    has_token = get_token() is not None
    if isinstance(error, GatedRepoError):
        first = "Ask for access" if has_token else "Accept its terms"
        then = "with the account of the token" if has_token else "and name the secret of a token of that account"
        return _refusal(f"{repository} is gated.", f"{first} at {hub}/{repository} {then}, then import again.")
    if isinstance(error, RevisionNotFoundError):
        return _refusal(
            f"{repository} has no revision {revision!r}.", f"See its branches and tags at {hub}/{repository}."
        )
    if isinstance(error, RepositoryNotFoundError):
        token = "that the token's account may read it" if has_token else "name the secret of a token if it is private"
        return _refusal(f"{hub} has no repository {repository}, or it is private.", f"Check the name, and {token}.")
    if isinstance(error, LocalEntryNotFoundError):
        return _refusal(
            f"{repository} is not in the hub's cache of this machine, and the hub is not asked (HF_HUB_OFFLINE).",
            "Put a whole snapshot into the cache with `hf download`, or allow the registry to ask the hub.",
        )
    if isinstance(error, HfHubHTTPError):
        return _answered(error.response.status_code, hub)
    return _refusal(f"{repository!r} is no name of a repository.", 'Write it as "owner/name".')


def _answered(status: int, hub: str) -> dict[str, str]:
    if status >= _FIRST_SERVER_STATUS:
        return {"away": f"{hub} answers with status {status}."}
    return _refusal(f"{hub} answers with status {status}.", "Check the name, the token and its rights.")


def _refusal(problem: str, next_step: str) -> dict[str, str]:
    return {"problem": problem, "next_step": next_step}


def main(arguments: list[str]) -> int:
    """Print what the hub holds, or why that cannot be told."""
    repository, revision = arguments
    print(json.dumps(listed(repository, revision, constants.ENDPOINT)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
