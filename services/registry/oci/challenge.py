"""What a registry asks for when it answers 401, and how it is answered."""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx2

from services.chassis.errors import PermissionDenied, Unavailable
from services.chassis.wire.names import shown

_CHALLENGE = re.compile(r"(bearer|basic)(?:\s+(.*))?", re.IGNORECASE | re.DOTALL)
_PARAMETER = re.compile(r'(\w+)\s*=\s*(?:"([^"]*)"|([^\s,"]+))')
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{1,65536}")


@dataclass(frozen=True)
class Challenge:
    """A registry's words: the scheme in lower case, and its parameters."""

    scheme: str
    parameters: dict[str, str]


def read_challenge(header: str) -> Challenge:
    """Return the challenge of a `WWW-Authenticate` header; its scheme is empty when it is none that can be answered."""
    match = _CHALLENGE.fullmatch(header.strip())
    if not match:
        return Challenge("", {})
    found = {name.lower(): quoted or plain for name, quoted, plain in _PARAMETER.findall(match[2] or "")}
    return Challenge(match[1].lower(), found)


def is_login(secret: str) -> bool:
    """Whether a secret is `user:password`, and no token."""
    return ":" in secret


def basic(secret: str) -> str:
    """Return the header's value for `user:password`."""
    return f"Basic {b64encode(secret.encode()).decode()}"


async def answer_challenge(client: httpx2.AsyncClient, challenge: Challenge, registry_url: str, secret: str) -> str:
    """Return the `Authorization` that the registry asks for.

    Args:
        client: Asks the registry's own token service.
        challenge: What the registry wants.
        registry_url: Any address of the registry; the token service must be at the same host.
        secret: `user:password`, or empty for a registry that everyone may read.

    Raises:
        PermissionDenied: The registry wants what cannot be given.
        Unavailable: Its token service does not answer.
    """
    host = urlsplit(registry_url).netloc
    if challenge.scheme == "basic" and is_login(secret):
        return basic(secret)
    realm = challenge.parameters.get("realm", "")
    if challenge.scheme != "bearer" or not realm:
        raise PermissionDenied(
            f"The registry {host} asks for a user and a password.", "Name a secret that holds user:password."
        )
    place = urlsplit(realm)
    if (place.scheme, place.netloc) != (urlsplit(registry_url).scheme, host) or place.query or place.username:
        raise PermissionDenied(
            f"The registry {host} sends its users to {shown(realm)} for a token, which is another host.",
            "Use a registry that gives its own tokens.",
        )
    query = {name: text for name, text in challenge.parameters.items() if name in ("service", "scope")}
    headers = {"authorization": basic(secret)} if is_login(secret) else {}
    try:
        response = await client.get(realm, params=query, headers=headers, timeout=30)
    except httpx2.HTTPError as error:
        raise Unavailable(f"The token service of {host} does not answer.", "Try again later.") from error
    return f"Bearer {_token_of(response, host)}"


def _token_of(response: httpx2.Response, host: str) -> str:
    if response.status_code != httpx2.codes.OK:
        raise PermissionDenied(
            f"The registry {host} gives no token (status {response.status_code}).",
            "Check the name, and that the secret holds user:password of one who may use it.",
        )
    try:
        document = response.json()
        token = document.get("token") or document.get("access_token")
    except (ValueError, AttributeError):
        token = None
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise PermissionDenied(f"The token service of {host} sent no token.", "Ask the registry's operator.")
    return token
