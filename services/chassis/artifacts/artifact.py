"""What an artifact is: immutable bytes or a folder of them, named by their digest."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, Literal, cast
from urllib.parse import unquote

from services.chassis.errors import InvalidArgument

KINDS = ("blobs", "trees")
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_URI = re.compile(
    r"(?P<root>[a-z][a-z0-9+.-]*://[^\x00-\x1f]*?)/(?P<kind>blobs|trees)"
    r"/(?P<start>[0-9a-f]{2})/(?P<hex>(?P=start)[0-9a-f]{62})"
)


@dataclass(frozen=True)
class Artifact:
    """Where immutable bytes are, what they hash to and how many they are.

    Attributes:
        uri: Place; what is there is complete.
        digest: `sha256:` and 64 hex digits: of the bytes, or of a folder's manifest.
        size_bytes: Bytes in all, the manifest not counted.
        media_type: As the writer named it; empty when it named none.
    """

    uri: str
    digest: str
    size_bytes: int
    media_type: str = ""


@dataclass(frozen=True)
class Key:
    """Place of an artifact below the root of its store."""

    kind: Literal["blobs", "trees"]
    hex: str

    @property
    def path(self) -> str:
        """Relative path."""
        return f"{self.kind}/{self.hex[:2]}/{self.hex}"

    @property
    def digest(self) -> str:
        """The digest that the place promises."""
        return f"sha256:{self.hex}"

    @property
    def is_tree(self) -> bool:
        """Whether a folder is kept there."""
        return self.kind == "trees"


def hex_of(digest: str) -> str:
    """Return the hex digits of a digest.

    Raises:
        InvalidArgument: It is not `sha256:` and 64 lower-case hex digits.
    """
    match = _DIGEST.fullmatch(digest)
    if match is None:
        raise InvalidArgument(
            f"The digest {digest[:80]!r} is malformed.", "Use sha256: and 64 lower-case hex digits.", field="digest"
        )
    return match.group(1)


def parse_uri(uri: str) -> tuple[str, Key]:
    """Return the root URL of the store that wrote `uri`, and the artifact's key there.

    Raises:
        InvalidArgument: No artifact store writes such URIs.
    """
    match = _URI.fullmatch(uri)
    if match is None or not _is_plain(unquote(match["root"])):
        raise InvalidArgument(f"{uri[:200]!r} is not the URI of an artifact.", "Use a URI that a service gave out.")
    kind: Literal["blobs", "trees"] = "trees" if match["kind"] == "trees" else "blobs"
    return match["root"], Key(kind, match["hex"])


def _is_plain(root: str) -> bool:
    steps = root.split("/")
    return ".." not in steps and "." not in steps and not any(ord(character) < 32 for character in root)


def file_digest(path: Path) -> str:
    """Return the digest of a file's bytes."""
    with path.open("rb") as stream:
        return stream_digest(stream)


def stream_digest(stream: BinaryIO) -> str:
    """Return the digest of the bytes that are left in a stream."""
    return "sha256:" + hashlib.file_digest(cast(BufferedReader, stream), "sha256").hexdigest()
