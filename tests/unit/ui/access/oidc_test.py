"""Logging in at a provider that answers over HTTP: code flow, PKCE, groups, clocks, new keys, and its absence."""

import json
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet
from starlette.testclient import TestClient

from services.chassis.telemetry import Telemetry
from ui.gateway.access.door import CallRates
from ui.gateway.app import create_app
from ui.gateway.settings import GatewaySettings


class Provider:
    """A provider with one client; what it says of the person who logs in is in `claims`."""

    def __init__(self) -> None:
        self.key = ECKey.generate_key(parameters={"kid": "first"})
        self.claims: dict[str, Any] = {}
        self.challenges: dict[str, tuple[str, str]] = {}
        self.is_away = False
        self.num_codes = 0
        self.metadata: Any = None
        # Where it is another than the one that signs.
        self.published: ECKey | None = None

    def authorize(self, address: str) -> dict[str, str]:
        """Let the person in whose browser was sent to `address`, and return what it brings back."""
        query = dict(parse_qsl(urlsplit(address).query))
        assert (query["response_type"], query["client_id"], query["code_challenge_method"]) == ("code", "drill", "S256")
        self.num_codes += 1
        code = f"code-{self.num_codes}"
        self.challenges[code] = (query["code_challenge"], query["nonce"])
        return {"code": code, "state": query["state"]}

    def token(self, issuer: str, form: dict[str, list[str]]) -> tuple[int, dict[str, Any]]:
        """Exchange a code, which works once and for who knows the verifier."""
        challenge, nonce = self.challenges.pop(form["code"][0], ("", ""))
        verifier = form["code_verifier"][0].encode()
        if urlsafe_b64encode(sha256(verifier).digest()).decode().rstrip("=") != challenge:
            return 400, {"error": "invalid_grant"}
        now = int(time.time())
        claims = {
            "iss": issuer,
            "aud": "drill",
            "sub": "u1",
            "iat": now,
            "exp": now + 300,
            "nonce": nonce,
            **self.claims,
        }
        header = {"alg": "ES256", "kid": self.key.kid}
        return 200, {"access_token": "a", "token_type": "Bearer", "id_token": jwt.encode(header, claims, self.key)}


def _serving(provider: Provider) -> ThreadingHTTPServer:
    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            keys = KeySet([provider.published or provider.key]).as_dict(private=False)
            metadata = {
                "issuer": issuer(),
                "authorization_endpoint": f"{issuer()}/authorize",
                "token_endpoint": f"{issuer()}/token",
                "jwks_uri": f"{issuer()}/keys",
            }
            told = metadata if provider.metadata is None else provider.metadata
            self._answer(200, dict(keys) if self.path == "/keys" else told)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            self._answer(*provider.token(issuer(), parse_qs(body)))

        def _answer(self, status: int, document: Any) -> None:
            content = json.dumps(document).encode()
            self.send_response(503 if provider.is_away else status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_arguments: object) -> None:
            """Stay silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)

    def issuer() -> str:
        return f"http://127.0.0.1:{server.server_port}"

    return server


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TestClient, Provider, Any]]:
    folder, provider = tmp_path_factory.mktemp("gateway"), Provider()
    server = _serving(provider)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name in ("admin", "client"):
        (folder / name).write_text(name * 10)
    settings = GatewaySettings(
        data_dir=folder,
        authentication="on",
        admin_key_file=folder / "admin",
        oidc_issuer=f"http://127.0.0.1:{server.server_port}",
        oidc_client_id="drill",
        oidc_client_secret_file=folder / "client",
        oidc_roles={"ml": "trainer", "all": "viewer"},
        oidc_workspaces={"ml": "lab", "others": "others"},
    )
    app: Any = create_app(settings, Telemetry())
    try:
        with TestClient(app, base_url="http://127.0.0.1:7860") as client:
            while not hasattr(app, "state"):
                app = app._app
            yield client, provider, app.state.access.provider
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def provider(running: tuple[TestClient, Provider, Any]) -> Provider:
    client, provider, known = running
    client.cookies.clear()
    provider.__init__()  # type: ignore[misc]
    known._metadata, known._keys = {}, None
    return provider


@pytest.fixture
def http(running: tuple[TestClient, Provider, Any], provider: Provider) -> TestClient:
    return running[0]


def _log_in(http: TestClient, provider: Provider, **claims: Any) -> Any:
    provider.claims = claims
    begun = http.get("/login/oidc?next=/loops", follow_redirects=False)
    assert begun.status_code == 303, begun.text
    return http.get(
        "/login/oidc/callback", params=provider.authorize(begun.headers["location"]), follow_redirects=False
    )


def test_groups_give_roles_and_sessions_go_on_while_the_provider_is_away(http: TestClient, provider: Provider) -> None:
    answer = _log_in(http, provider, groups=["others", "ml"])
    assert (answer.status_code, answer.headers["location"]) == (303, "/loops")
    provider.is_away = True
    assert http.get("/api/v1/caller").json()["caller"] == {
        "name": "oidc:u1",
        "scopes": ["feedback", "read", "test", "train"],
        "workspace_id": "lab",
    }


@pytest.mark.parametrize("claims", [{}, {"groups": []}, {"groups": ["others"]}, {"groups": "ml"}, {"groups": None}])
def test_who_is_in_no_group_with_a_role_is_told_so(http: TestClient, provider: Provider, claims: Any) -> None:
    answer = _log_in(http, provider, **claims)
    assert answer.status_code == 403
    assert "None of your groups has a role here." in answer.text
    assert http.get("/api/v1/caller").status_code == 401


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({"exp": -30}, 303),
        ({"iat": 30}, 303),
        ({"exp": -3600}, 401),
        ({"iat": 3600}, 401),
        ({"aud": "another"}, 401),
        ({"iss": "https://evil.test"}, 401),
        ({"nonce": "of another login"}, 401),
        ({"exp": None}, 401),
    ],
)
def test_a_token_must_be_for_this_login_now_give_or_take_a_minute(
    http: TestClient, provider: Provider, claims: Any, status: int
) -> None:
    now = int(time.time())
    facts = {name: now + value if isinstance(value, int) else value for name, value in claims.items()}
    assert _log_in(http, provider, groups=["all"], **facts).status_code == status


def test_a_new_key_of_the_provider_is_fetched_and_a_foreign_one_refused(http: TestClient, provider: Provider) -> None:
    assert _log_in(http, provider, groups=["all"]).status_code == 303
    provider.key = ECKey.generate_key(parameters={"kid": "second"})
    assert _log_in(http, provider, groups=["all"]).status_code == 303
    provider.published, provider.key = provider.key, ECKey.generate_key(parameters={"kid": "second"})
    begun = http.get("/login/oidc", follow_redirects=False)
    query = provider.authorize(begun.headers["location"])
    assert http.get("/login/oidc/callback", params=query, follow_redirects=False).status_code == 401


def test_a_login_ends_once_and_in_the_browser_that_began_it(http: TestClient, provider: Provider) -> None:
    provider.claims = {"groups": ["all"]}
    begun = http.get("/login/oidc?next=//evil.test", follow_redirects=False)
    query = provider.authorize(begun.headers["location"])
    cookie = http.cookies["drillyard_login"]
    for wrong in (
        {**query, "state": "x"},
        {"state": query["state"]},
        {"error": "access_denied", "state": query["state"]},
    ):
        assert http.get("/login/oidc/callback", params=wrong, follow_redirects=False).status_code == 401
    for value in ("", "x.y", cookie[:-1], "é"):
        http.cookies.clear()
        raw = {"Cookie": f"drillyard_login={value}".encode("latin-1")}
        answer = http.get("/login/oidc/callback", params=query, headers=raw, follow_redirects=False)  # type: ignore[arg-type]
        assert answer.status_code == 401
    http.cookies.set("drillyard_login", cookie)
    assert http.get("/login/oidc/callback", params=query, follow_redirects=False).headers["location"] == "/"
    http.cookies.set("drillyard_login", cookie)
    assert http.get("/login/oidc/callback", params=query, follow_redirects=False).status_code == 401


def test_who_was_refused_can_log_in_from_there(http: TestClient, provider: Provider) -> None:
    page = _log_in(http, provider).text
    assert ('action="../../login"' in page, 'href="../../login/oidc?' in page) == (True, True)
    assert 'action="./login"' in http.get("/login").text


def test_what_strangers_are_refused_does_not_fill_the_log(http: TestClient, provider: Provider) -> None:
    admin = {"Authorization": f"Bearer {'admin' * 10}"}
    app: Any = http.app
    while not hasattr(app, "state"):
        app = app._app
    assert http.get("/login/oidc/callback").status_code == 401
    (earlier,) = http.get("/api/v1/audit-events?page_size=1", headers=admin).json()["audit_events"]
    app.state.failed_logins = CallRates(1)
    statuses = [http.get("/login/oidc/callback").status_code for _ in range(4)]
    del app.state.failed_logins
    events = http.get("/api/v1/audit-events?page_size=4", headers=admin).json()["audit_events"]
    assert statuses == [401] * 4
    assert earlier in events


def test_a_long_place_and_an_odd_name_do_no_harm(http: TestClient, provider: Provider) -> None:
    begun = http.get("/login/oidc", params={"next": "/doctor?x=" + "y" * 4000}, follow_redirects=False)
    assert len(begun.headers["set-cookie"]) < 4096
    _log_in(http, provider, groups=["all"], sub="eve\n\x1b[2Jkey:ci\x00")
    assert http.get("/api/v1/caller").json()["caller"]["name"] == "oidc:eve%0A%1B[2Jkey:ci%00"


def test_a_provider_that_tells_nothing_of_itself_is_away(
    http: TestClient, provider: Provider, running: tuple[TestClient, Provider, Any]
) -> None:
    provider.metadata = []
    assert http.get("/login/oidc", follow_redirects=False).status_code == 503


def test_a_provider_that_is_away_is_told_and_keys_go_on(http: TestClient, provider: Provider) -> None:
    provider.is_away = True
    answer = http.get("/login/oidc", follow_redirects=False)
    assert answer.status_code == 503
    assert "keys and passwords work" in answer.text
    form = {"secret": "admin" * 10}
    headers = {"Origin": "http://127.0.0.1:7860"}
    assert http.post("/login", data=form, headers=headers, follow_redirects=False).status_code == 303


def test_a_provider_is_reached_by_https_and_gives_roles_that_exist() -> None:
    with pytest.raises(ValueError, match="https://"):
        GatewaySettings(oidc_issuer="http://login.example")
    with pytest.raises(ValueError, match="there is no role 'king'"):
        GatewaySettings(oidc_roles={"ml": "king"})
