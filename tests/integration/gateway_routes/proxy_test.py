"""The pages behind nginx, at a host and a path of its own: all that a browser asks for lies below that path."""

import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Literal

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import BrowserContext, FilePayload, Page, Response, expect, sync_playwright

from tests.e2e.browser_test import CHROMIUM, PATIENCE_MS, QUIET, VIOLATIONS
from tests.integration.processes import start_service
from tests.integration.system_process import SystemProcess
from tests.machine import PATIENCE_SECONDS, free_ports
from ui.cli.connection import Gateway
from ui.shared.environment import PAGES

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
KEY = "the first key of a gateway in a test"
# The first server takes the path off and hides what the browser asked; the second keeps both, and says a wrong host;
# the third is like the first, before a gateway that asks for a login.
CONFIGURATION = """
daemon off; pid {folder}/pid; error_log {folder}/error.log; events {{}}
http {{
  access_log off; proxy_buffering off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{ listen 127.0.0.1:{port}; location /drill/ {{ proxy_pass http://{gateway}/; }} }}
  server {{
    listen 127.0.0.1:{keeping};
    location /drill/ {{
      proxy_pass http://{gateway}; proxy_set_header Host $http_host; proxy_set_header X-Forwarded-Host evil.example;
    }}
  }}
  server {{ listen 127.0.0.1:{locked}; location /drill/ {{ proxy_pass http://{locked_gateway}/; }} }}
}}
"""
pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

if NGINX is None and os.environ.get("CI") != "true":
    pytest.skip("needs nginx: apt-get install nginx-light", allow_module_level=True)


@dataclass(frozen=True)
class Proxy:
    port: int
    keeping_port: int
    locked_port: int

    @property
    def url(self) -> str:
        return f"http://lab.example:{self.port}/drill"

    @property
    def locked_url(self) -> str:
        return f"http://lab.example:{self.locked_port}/drill"

    def ask(self, path: str, *, keeping: bool, **headers: str) -> tuple[int, str, bytes]:
        """Send what a browser would send to the outside address; return status, Location and body."""
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.keeping_port if keeping else self.port, timeout=PATIENCE_SECONDS
        )
        with closing(connection):
            connection.request("GET", path, headers={"Host": f"lab.example:{self.port}", **headers})
            answer = connection.getresponse()
            return answer.status, answer.getheader("location") or "", answer.read()


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory, system: SystemProcess) -> Iterator[Proxy]:
    folder, one = tmp_path_factory.mktemp("proxy"), Proxy(*free_ports(3))
    (folder / "key").write_text(KEY)
    asks = {"authentication": "on", "admin_key_file": folder / "key", "outside_url": f"{one.locked_url}/"}
    with (
        start_service("gateway", folder, port=0, outside_url=f"{one.url}/", **system.addresses) as gateway,
        start_service("gateway", folder / "locked", port=0, **asks, **system.addresses) as locked,
    ):
        places = {"folder": folder, "gateway": gateway.address, "port": one.port, "keeping": one.keeping_port}
        places |= {"locked": one.locked_port, "locked_gateway": locked.address}
        (folder / "nginx.conf").write_text(CONFIGURATION.format(**places))
        assert NGINX
        with subprocess.Popen([NGINX, "-e", f"{folder}/error.log", "-c", f"{folder}/nginx.conf"]) as process:
            try:
                _await_listener(one.port)
                yield one
            finally:
                process.terminate()


def _await_listener(port: int) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            assert time.monotonic() < end
            time.sleep(0.05)


@pytest.fixture(scope="module")
def context() -> Iterator[BrowserContext]:
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        names = "--host-resolver-rules=MAP lab.example 127.0.0.1"
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*QUIET, names])
        opened = browser.new_context(viewport={"width": 1440, "height": 1000})
        # The first page of a gateway waits until all of them are made.
        opened.set_default_timeout(PATIENCE_MS)
        yield opened
        browser.close()


@pytest.fixture
def page(context: BrowserContext, proxy: Proxy) -> Iterator[Page]:
    opened = context.new_page()
    refused: list[tuple[str, int]] = []

    def note(response: Response) -> None:
        inside = response.url.startswith((f"{proxy.url}/", "data:", "blob:"))
        if not inside or response.status >= 400:
            refused.append((response.url, response.status))

    opened.on("response", note)
    yield opened
    opened.close()
    assert refused == []


def test_pages_live_below_the_path(page: Page, proxy: Proxy) -> None:
    page.goto(f"{proxy.url}/")
    # All are built alike; each takes a browser seconds.
    for title, _ in PAGES[1::4]:
        page.get_by_role("navigation", name="Pages").get_by_role("link", name=title, exact=True).click()
        expect(page.locator("#title")).to_contain_text(title)
    page.get_by_role("link", name="API", exact=True).click()
    page.get_by_role("link", name="openapi.json").click()
    assert page.url == f"{proxy.url}/openapi.json"


def test_buttons_events_and_uploads_work(page: Page, proxy: Proxy) -> None:
    page.goto(f"{proxy.url}/models")
    page.get_by_label("Import a model").fill("/no/such/model.gguf")
    page.get_by_role("button", name="Import").click()
    expect(page.locator("#import-message .notice")).to_be_visible()
    page.goto(f"{proxy.url}/test-suites")
    page.get_by_role("button", name="Import a suite of your own").click()
    page.locator("#suite-test-suite-id").get_by_role("textbox").fill("roo_xml/other")
    file = FilePayload(name="one.jsonl", mimeType="application/jsonl", buffer=b"no case")
    page.locator("#suite-file input[type=file]").set_input_files(file)
    expect(page.locator("#suite-file")).to_contain_text(re.compile(r"one\s*\.jsonl"))
    page.get_by_role("button", name="Check", exact=True).click()
    expect(page.locator("#suite-message .notice")).to_be_visible()


@pytest.mark.parametrize("keeping", [False, True])
def test_the_api_answers_the_exact_origin_alone(proxy: Proxy, keeping: bool) -> None:
    origin = f"http://lab.example:{proxy.port}"
    assert proxy.ask("/drill/api/v1/model-versions", keeping=keeping, Origin=origin)[0] == 200
    for other in (f"https://lab.example:{proxy.port}", "http://lab.example", f"{origin}.evil.example", "null"):
        assert proxy.ask("/drill/api/v1/model-versions", keeping=keeping, Origin=other)[0] == 403, other


@pytest.mark.parametrize("keeping", [False, True])
def test_pages_documents_and_redirects_name_the_outside_address(proxy: Proxy, keeping: bool) -> None:
    page = proxy.ask("/drill/", keeping=keeping)[2].decode()
    assert f'"root":"{proxy.url}"' in page
    assert 'href="/drill/manifest.json"' in page
    servers = json.loads(proxy.ask("/drill/openapi.json", keeping=keeping)[2])["servers"]
    assert servers == [{"url": "/drill"}]
    status, location, _ = proxy.ask("/drill/test-runs/", keeping=keeping)
    assert status == 301
    assert location.endswith("/drill/test-runs")


def test_commands_work_through_the_path(proxy: Proxy) -> None:
    gateway = Gateway(f"http://127.0.0.1:{proxy.port}/drill/")
    assert gateway.get("/model-versions")["model_versions"]


def test_a_person_logs_in_and_out_through_the_path(context: BrowserContext, proxy: Proxy) -> None:
    # Another try may have logged in.
    context.clear_cookies()
    page = context.new_page()
    outside: list[str] = []
    inside = (f"{proxy.locked_url}/", "data:", "blob:")
    page.on("response", lambda response: None if response.url.startswith(inside) else outside.append(response.url))
    page.goto(f"{proxy.locked_url}/test-suites")
    page.get_by_label("Key").fill(KEY)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(f"{proxy.locked_url}/test-suites")
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Models", exact=True).click()
    page.get_by_label("Import a model").fill("/no/such/model.gguf")
    page.get_by_role("button", name="Import").click()
    expect(page.locator("#import-message .notice")).to_be_visible()
    page.goto(f"{proxy.locked_url}/settings")
    page.get_by_role("button", name="Log out").click()
    page.goto(f"{proxy.locked_url}/settings")
    assert page.url.startswith(f"{proxy.locked_url}/login?next=")
    page.close()
    assert outside == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_login_and_settings_follow_the_theme_and_keep_axes_rules(
    context: BrowserContext, proxy: Proxy, theme: Literal["light", "dark"]
) -> None:
    assert context.browser is not None
    # One without the sessions of the other tests.
    own = context.browser.new_context(color_scheme=theme)
    own.set_default_timeout(PATIENCE_MS)
    page = own.new_page()
    page.goto(f"{proxy.locked_url}/login?next=/settings")
    _expect_no_violations(page, theme)
    page.get_by_label("Key").fill("a key of nobody")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_be_visible()
    _expect_no_violations(page, theme)
    page.get_by_label("Key").fill(KEY)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="API keys")).to_be_visible()
    _expect_no_violations(page, theme)
    own.close()


def _expect_no_violations(page: Page, theme: str) -> None:
    page.evaluate(AXE_SCRIPT)
    assert page.evaluate(VIOLATIONS) == []
    red = page.evaluate("Number(getComputedStyle(document.body).backgroundColor.match(/[0-9]+/)[0])")
    assert (red < 128) is (theme == "dark")
