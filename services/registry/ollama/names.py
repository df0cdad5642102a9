"""Names of models in Ollama's form: `[host/][namespace/]name[:tag]`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from services.chassis.errors import InvalidArgument
from services.chassis.settings import is_loopback
from services.chassis.wire.names import shown

DEFAULT_HOST = "registry.ollama.ai"
_DEFAULT_PLACES = {0: [DEFAULT_HOST, "library"], 1: [DEFAULT_HOST], 2: []}
_DEFAULT_TAG = "latest"
_SCHEME = re.compile(r"(https?)://(.+)", re.DOTALL)
# The longest of each part, and what it may be made of.
_PARTS = {
    "host": re.compile(r"\w[\w.:-]{0,349}", re.ASCII),
    "namespace": re.compile(r"\w[\w-]{0,79}", re.ASCII),
    "name": re.compile(r"\w[\w.-]{0,79}", re.ASCII),
    "tag": re.compile(r"\w[\w.-]{0,79}", re.ASCII),
}
_RULES = {
    "host": "1 to 350 letters, digits and . _ - :",
    "namespace": "1 to 80 letters, digits, _ and -",
    "name": "1 to 80 letters, digits and . _ -",
    "tag": "1 to 80 letters, digits and . _ -",
}


@dataclass(frozen=True)
class OllamaName:
    """A name with all its parts; `scheme` is https, or http for this machine and where the name begins with it."""

    host: str
    namespace: str
    name: str
    tag: str
    scheme: str = "https"

    @property
    def repository_url(self) -> str:
        """Where a registry keeps manifests and blobs of the model, without a final slash."""
        return f"{self.scheme}://{self.host}/v2/{self.namespace}/{self.name}"

    @property
    def manifest_path(self) -> Path:
        """Where a store folder keeps the manifest."""
        return Path("manifests", self.host, self.namespace, self.name, self.tag)

    def __str__(self) -> str:
        return f"{self.host}/{self.namespace}/{self.name}:{self.tag}"


def parse_name(text: str, field: str = "") -> OllamaName:
    """Return the name, with Ollama's defaults for what it leaves out.

    Args:
        text: What a caller gave.
        field: Name of the request's field.

    Raises:
        InvalidArgument: It is none; the error tells the part that is wrong.
    """
    match = _SCHEME.fullmatch(text)
    scheme, rest = (match[1], match[2]) if match else ("", text)
    *places, last = rest.split("/")
    if len(places) not in _DEFAULT_PLACES or not all((*places, last)):
        raise _refused(text, "has more parts than host, namespace and name, or an empty one", field)
    name, colon, tag = last.partition(":")
    host, namespace = _DEFAULT_PLACES[len(places)] + places
    parts = {"host": host, "namespace": namespace, "name": name, "tag": tag if colon else _DEFAULT_TAG}
    for part, value in parts.items():
        if not _PARTS[part].fullmatch(value):
            raise _refused(text, f"has no {part} that can be ({_RULES[part]}; not . - : first)", field)
    return OllamaName(**parts, scheme=scheme or ("http" if is_loopback(_hostname(parts["host"])) else "https"))


def _hostname(host: str) -> str:
    return host.rpartition(":")[0] or host


def _refused(text: str, problem: str, field: str) -> InvalidArgument:
    fields = {"field": field} if field else {}
    return InvalidArgument(
        f"The name {shown(text)} {problem}.", "Write [host/][namespace/]name[:tag], such as qwen3:0.6b.", **fields
    )
