"""References of OCI artifacts: `host/repository:tag` or `host/repository@sha256:…`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from services.chassis.errors import InvalidArgument
from services.chassis.settings import is_loopback
from services.chassis.wire.names import shown

_WORD = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    r"(?:(?P<scheme>https?)://)?(?P<host>(?:localhost|[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+|[A-Za-z0-9-]+(?=:))(?::[0-9]{1,5})?)"
    rf"/(?P<repository>{_WORD}(?:/{_WORD})*)(?::(?P<tag>\w[\w.-]{{0,127}})|@(?P<digest>sha256:[0-9a-f]{{64}}))",
    re.ASCII,
)
_MOST_CHARACTERS = 600


@dataclass(frozen=True)
class OciReference:
    """One artifact of a registry; `version` is a tag, or a digest."""

    scheme: str
    host: str
    repository: str
    version: str

    @property
    def url(self) -> str:
        """Where the registry keeps the repository."""
        return f"{self.scheme}://{self.host}/v2/{self.repository}"

    @property
    def hostname(self) -> str:
        """The host without its port."""
        return (urlsplit(self.url).hostname or "").lower()

    @property
    def is_tag(self) -> bool:
        """Whether a push can give the version to an artifact."""
        return not self.version.startswith("sha256:")

    def __str__(self) -> str:
        return f"{self.host}/{self.repository}{':' if self.is_tag else '@'}{self.version}"


def parse_reference(text: str, field: str = "") -> OciReference:
    """Return the reference; plain http is used for this machine alone, and where the text begins with it.

    Raises:
        InvalidArgument: It is none.
    """
    match = _REFERENCE.fullmatch(text) if len(text) <= _MOST_CHARACTERS else None
    if not match:
        fields = {"field": field} if field else {}
        raise InvalidArgument(
            f"{shown(text)} names no artifact of a registry.",
            "Write host/repository:tag or host/repository@sha256:…, such as registry.example/models/roo:1.",
            **fields,
        )
    scheme = match["scheme"] or ("http" if is_loopback(match["host"].partition(":")[0]) else "https")
    return OciReference(scheme, match["host"], match["repository"], match["tag"] or match["digest"])
