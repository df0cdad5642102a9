"""Logging in at an OpenID Connect provider: code flow with PKCE, and roles by the provider's groups."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import structlog

from services.chassis.errors import FailedPrecondition, PermissionDenied, Unavailable
from services.chassis.machine.caller import DEFAULT_WORKSPACE
from ui.gateway.access.caller import ROLES, Caller, Scope, printable
from ui.gateway.access.secrets import is_equal, signed, unsigned
from ui.gateway.errors import Unauthenticated
from ui.gateway.settings import GatewaySettings

if TYPE_CHECKING:
    from joserfc.jwk import KeySet

_TIMEOUT_SECONDS = 10.0
_DISCOVERY = "/.well-known/openid-configuration"
_ENDPOINTS = dict.fromkeys(("issuer", "authorization_endpoint", "token_endpoint", "jwks_uri"), str)
# Clocks of two machines differ; so much is let pass on either side.
_LEEWAY_SECONDS = 60
_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA"]
LOGIN_SECONDS = 600
_MAX_NAME = 200
_MAX_PLACE = 1000
_AGAIN = "Log in again."
_log = structlog.get_logger()


@dataclass(frozen=True)
class Login:
    """A login that has begun, kept in a cookie of the browser that began it.

    Attributes:
        state: What the provider gives back with the code.
        nonce: What it writes into the token.
        verifier: The secret of PKCE.
        place: The page that was asked for.
        end: When it is given up, in seconds of the wall clock.
    """

    state: str
    nonce: str
    verifier: str
    place: str
    end: float


class OidcProvider:
    """A provider that tells who somebody is; what it publishes of itself is read when it is first needed."""

    def __init__(self, settings: GatewaySettings, client_secret: str, signing_key: bytes) -> None:
        self._settings, self._client_secret, self._signing_key = settings, client_secret, signing_key
        self._metadata: dict[str, Any] = {}
        self._keys: KeySet | None = None

    async def begin(self, place: str, redirect_uri: str) -> tuple[str, str]:
        """Return the provider's address for a new login, and the cookie by which its end is known.

        Raises:
            Unavailable: The provider does not answer.
        """
        metadata = await self._read_metadata()
        state, nonce, verifier = (secrets.token_urlsafe(48) for _ in range(3))
        # Browsers drop a cookie of more than 4 KiB.
        place = place if len(quote(place)) <= _MAX_PLACE else "/"
        login = Login(state, nonce, verifier, place, time.time() + LOGIN_SECONDS)
        async with self._client(redirect_uri) as client:
            url, _ = client.create_authorization_url(metadata["authorization_endpoint"], state, verifier, nonce=nonce)
        return str(url), signed(json.dumps(asdict(login)), self._signing_key)

    async def end(self, cookie: str, query: Mapping[str, str], redirect_uri: str) -> tuple[Caller, str]:
        """Return who has logged in, and the page that they asked for.

        Raises:
            PermissionDenied: None of their groups has a role here.
            Unauthenticated: The provider says no, or its answer belongs to no login of this browser.
            Unavailable: The provider does not answer.
        """
        login = self._login_of(cookie)
        if login is None or not is_equal(query.get("state", ""), login.state) or login.end < time.time():
            raise Unauthenticated("This login was not begun in this browser, or too long ago.", _AGAIN)
        if "code" not in query:
            raise Unauthenticated("The provider did not let you log in.", _AGAIN)
        token = await self._id_token(query["code"], login.verifier, redirect_uri)
        return self._caller(await self._claims(token, login.nonce)), login.place

    def _login_of(self, cookie: str) -> Login | None:
        text = unsigned(cookie, self._signing_key)
        return Login(**json.loads(text)) if text else None

    def _client(self, redirect_uri: str) -> Any:
        # Only a gateway with a provider needs it.
        from authlib.integrations.httpx_client import AsyncOAuth2Client

        return AsyncOAuth2Client(
            self._settings.oidc_client_id,
            self._client_secret or None,
            scope=self._settings.oidc_scope,
            redirect_uri=redirect_uri,
            code_challenge_method="S256",
            timeout=_TIMEOUT_SECONDS,
        )

    async def _id_token(self, code: str, verifier: str, redirect_uri: str) -> str:
        import httpx2
        from authlib.integrations.base_client import OAuthError

        metadata = await self._read_metadata()
        try:
            async with self._client(redirect_uri) as client:
                token = await client.fetch_token(metadata["token_endpoint"], code=code, code_verifier=verifier)
        except OAuthError as error:
            _log.warning("oidc_code_refused", error=error.error)
            raise Unauthenticated("The provider refused the login.", _AGAIN) from None
        except (httpx2.HTTPError, ValueError) as error:
            raise _away(error) from None
        return str(token.get("id_token", ""))

    async def _claims(self, token: str, nonce: str) -> dict[str, Any]:
        from joserfc.errors import JoseError
        from joserfc.jwt import JWTClaimsRegistry, decode

        settings = self._settings
        expected = JWTClaimsRegistry(
            leeway=_LEEWAY_SECONDS,
            iss={"essential": True, "value": settings.oidc_issuer},
            aud={"essential": True, "value": settings.oidc_client_id},
            nonce={"essential": True, "value": nonce},
            sub={"essential": True},
            exp={"essential": True},
        )
        # A key that is not known yet is one to which the provider has changed meanwhile.
        for is_renewed in (False, True):
            try:
                claims: dict[str, Any] = decode(token, await self._read_keys(is_renewed), _ALGORITHMS).claims
                expected.validate(claims)
                return claims
            except (JoseError, ValueError) as error:
                if is_renewed:
                    _log.warning("oidc_token_refused", error=type(error).__name__)
        raise Unauthenticated(
            "The provider's token is not valid here.", f"{_AGAIN} If it stays so, compare the clocks."
        )

    def _caller(self, claims: Mapping[str, Any]) -> Caller:
        settings = self._settings
        groups = claims.get(settings.oidc_groups_claim)
        roles = {settings.oidc_roles.get(str(group)) for group in groups} if isinstance(groups, list) else set()
        scopes: frozenset[Scope] = frozenset().union(*(ROLES[role] for role in roles if role))
        if not scopes:
            raise PermissionDenied("None of your groups has a role here.", "Ask the gateway's admin for one.")
        name = str(claims.get(settings.oidc_name_claim) or claims["sub"])[:_MAX_NAME]
        # The first of the setting counts for who is in several.
        workspaces = (place for group, place in settings.oidc_workspaces.items() if group in map(str, groups or ()))
        return Caller(f"oidc:{printable(name)}", scopes, next(workspaces, DEFAULT_WORKSPACE))

    async def _read_metadata(self) -> dict[str, Any]:
        if not self._metadata:
            metadata = await _read(self._settings.oidc_issuer.rstrip("/") + _DISCOVERY, _ENDPOINTS)
            if metadata.get("issuer") != self._settings.oidc_issuer:
                raise FailedPrecondition(
                    "The provider calls itself by another name than GATEWAY_OIDC_ISSUER.",
                    f"Set it to the provider's issuer, {str(metadata.get('issuer'))[:200]}.",
                )
            self._metadata = metadata
        return self._metadata

    async def _read_keys(self, is_renewed: bool) -> KeySet:
        from joserfc.jwk import KeySet

        if self._keys is None or is_renewed:
            self._keys = KeySet.import_key_set(await _read((await self._read_metadata())["jwks_uri"], {"keys": list}))  # type: ignore[arg-type]
        return self._keys


async def _read(url: str, expected: Mapping[str, type]) -> dict[str, Any]:
    import httpx2

    try:
        async with httpx2.AsyncClient(timeout=_TIMEOUT_SECONDS) as client:
            response = await client.get(url)
            response.raise_for_status()
            document = response.json()
            if not isinstance(document, dict) or any(
                not isinstance(document.get(name), kind) for name, kind in expected.items()
            ):
                raise ValueError(f"{url} does not have {', '.join(expected)}")
            return document
    except (httpx2.HTTPError, ValueError) as error:
        raise _away(error) from None


def _away(error: Exception) -> Unavailable:
    _log.warning("oidc_provider_away", error=type(error).__name__, reason=str(error)[:200])
    return Unavailable(
        "The provider of logins does not answer.", "Try again later; sessions go on, and keys and passwords work."
    )
