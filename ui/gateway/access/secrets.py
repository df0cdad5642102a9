"""Keys, passwords and the tokens of sessions: how they are made, kept and compared."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import re
import secrets
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argon2 import PasswordHasher

# What OWASP asks for at least; it takes a tenth of a second.
_TIME_COST, _MEMORY_KIB = 2, 19_456
# More at once would take the processor from all other requests.
_MAX_HASHING = 2
_SECRET_BYTES = 32
_KEY = re.compile(r"dy_([a-z0-9-]{1,40})_([A-Za-z0-9_-]{43})")


def new_key(key_id: str) -> tuple[str, str]:
    """Return a new API key, and of it the secret alone."""
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    return f"dy_{key_id}_{secret}", secret


def parts_of(key: str) -> tuple[str, str] | None:
    """Return id and secret of an API key, if it has the form of one."""
    match = _KEY.fullmatch(key)
    return (match[1], match[2]) if match else None


def excerpt_of(secret: str) -> str:
    """Return 16 bits of a secret's digest: what does not have them is refused without the slow comparison."""
    return hashlib.sha256(secret.encode()).hexdigest()[:4]


def token_for(signing_key: bytes) -> str:
    """Return a new token of a session, which only who knows the key can make."""
    return signed(secrets.token_urlsafe(_SECRET_BYTES), signing_key)


def signed(text: str, signing_key: bytes) -> str:
    """Return a text in characters of a cookie, with a signature that only who knows the key can make."""
    encoded = base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
    return f"{encoded}.{_signature(encoded, signing_key)}"


def unsigned(cookie: str, signing_key: bytes) -> str:
    """Return the text that was signed with the key; empty: this was not."""
    encoded, _, signature = cookie.partition(".")
    is_signed = is_equal(signature, _signature(encoded, signing_key))
    return base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode() if is_signed else ""


def digest_of(token: str) -> str:
    """Return what is kept of a random token in its place."""
    return hashlib.sha256(token.encode()).hexdigest()


def is_equal(first: str, second: str) -> bool:
    """Whether two secrets are equal, in a time that tells nothing of them."""
    return hmac.compare_digest(first.encode("utf-8", "replace"), second.encode("utf-8", "replace"))


def derived_key(admin_key: str, purpose: str) -> bytes:
    """Return a key for one purpose, which only who knows the initial admin's key can make."""
    return hmac.new(admin_key.encode(), purpose.encode(), "sha256").digest()


class SecretHasher:
    """Hashes secrets by argon2, a few at a time, beside the event loop."""

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(_MAX_HASHING)

    async def hash_of(self, secret: str) -> str:
        """Return the hash by which a secret is kept."""
        async with self._places:
            return await asyncio.to_thread(_argon2().hash, secret)

    async def is_hash_of(self, secret_hash: str, secret: str) -> bool:
        """Whether a hash is that of a secret; without a hash it takes as long and says no."""
        from argon2.exceptions import InvalidHashError, VerificationError

        async with self._places:
            try:
                hash_of_any = secret_hash or await asyncio.to_thread(_hash_of_nothing)
                return await asyncio.to_thread(_argon2().verify, hash_of_any, secret) and bool(secret_hash)
            except (VerificationError, InvalidHashError):
                return False


def _signature(token: str, signing_key: bytes) -> str:
    return hmac.new(signing_key, token.encode("utf-8", "replace"), "sha256").hexdigest()


@cache
def _argon2() -> PasswordHasher:
    # Only a gateway that asks for a login needs it.
    from argon2 import PasswordHasher

    return PasswordHasher(time_cost=_TIME_COST, memory_cost=_MEMORY_KIB, parallelism=1)


@cache
def _hash_of_nothing() -> str:
    return _argon2().hash(secrets.token_urlsafe(_SECRET_BYTES))
