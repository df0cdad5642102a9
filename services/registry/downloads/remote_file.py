"""A file at another host, and what may go wrong on the way to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from services.chassis.errors import PermissionDenied


@dataclass(frozen=True)
class RemoteFile:
    """A file to fetch.

    Attributes:
        url: Where it is, http or https.
        size_bytes: Its size; None when nobody told it yet.
        digest: "sha256:…" of its content, or "git-sha1:…" as git names it; empty when nobody told it.
        headers: What its own host gets with each request, such as a token; a host to which it redirects gets none.
    """

    url: str
    size_bytes: int | None = None
    digest: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def host(self) -> str:
        """The host's name in lower case, without port."""
        return (urlsplit(self.url).hostname or "").lower()


class SourceRefused(PermissionDenied):
    """The host does not give the file to this caller.

    Attributes:
        status: HTTP status, 401 or 403.
    """

    def __init__(self, host: str, status: int) -> None:
        super().__init__(
            f"{host} refuses the file with status {status}.",
            "Name the secret that holds a token for it, or let its owner give the token's account access.",
        )
        self.status = status


class PassingFailure(Exception):
    """The next try may succeed; the message is one sentence."""

    def __init__(self, problem: str, retry_after_seconds: float = 0.0) -> None:
        super().__init__(problem)
        self.problem = problem
        self.retry_after_seconds = retry_after_seconds


class ChangedFile(Exception):
    """The file at the host is another one than was announced, or than that of which parts have come; a sentence."""
