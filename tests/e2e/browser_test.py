"""The pages in Debian's Chromium, on real services: import a tiny model, test it, read its verdicts."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Request, expect, sync_playwright

from services.protocols.profile import get_profile
from tests.integration.processes import ROOT
from ui.cli.connection import Gateway
from ui.cli.processes import System

CHROMIUM = shutil.which("chromium")
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")
HOSTILE = (
    "<img src='https://example.org/x.png' onerror='window.broken = 1'><script>window.broken = 1</script> ${1} {{x}}"
)
SUITE = "roo_xml/browser@1"
_NAMELESS = """all => all
    .filter(one => one.offsetParent && !one.ariaLabel && !one.innerText && !one.title && !one.labels?.length)
    .map(one => one.outerHTML)"""
pytestmark = [pytest.mark.browser, pytest.mark.timeout(420)]

if CHROMIUM is None and os.environ.get("CI") != "true":
    pytest.skip("needs Debian's Chromium: apt-get install chromium", allow_module_level=True)


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the model in a process of its own, so that this one never loads torch."""
    folder = tmp_path_factory.mktemp("model") / "tiny"
    program = "import pathlib, sys, services.lm.tiny as tiny; tiny.write_tiny_model(pathlib.Path(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", program, str(folder)], check=True, cwd=ROOT, env=_environment(), timeout=120)
    return folder


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    former = dict(os.environ)
    os.environ.update(_environment())
    try:
        with System(tmp_path_factory.mktemp("browser")) as system:
            Gateway(system.url).upload("/test-suites", _suite(), test_suite_id="roo_xml/browser")
            yield system.url
    finally:
        os.environ.clear()
        os.environ.update(former)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield started
        started.close()


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    opened = browser.new_page(viewport={"width": 1440, "height": 1000})
    opened.set_default_timeout(60_000)
    foreign: list[str] = []

    def note(request: Request) -> None:
        if not request.url.startswith((url, "data:", "blob:")):
            foreign.append(request.url)

    opened.on("request", note)
    yield opened
    assert opened.evaluate("window.broken") is None
    opened.close()
    assert foreign == []


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT}/proto/gen"}


def _suite() -> bytes:
    """One case of each tool; the first one's task is hostile to a page that does not escape it."""
    documents: dict[str, dict[str, Any]] = {}
    for line in get_profile("roo_xml").suites()[0].text.splitlines():
        document = json.loads(line)
        documents.setdefault(document["tool"], document)
    first = next(iter(documents.values()))
    first["task"] += HOSTILE
    return "".join(json.dumps(one) + "\n" for one in documents.values()).encode()


def _choose(page: Page, dropdown: str, wanted: str) -> None:
    page.locator(f"#{dropdown} input").click()
    page.get_by_role("option", name=wanted, exact=True).click()


def test_a_model_is_imported_tested_and_read(page: Page, url: str, tiny_model: Path) -> None:
    page.goto(url)
    page.get_by_label("Import from this machine").fill(str(tiny_model))
    page.get_by_label("Name of the model").fill("tiny")
    page.get_by_role("button", name="Import").click()
    expect(page.locator("#import-message")).to_contain_text("The import of tiny has begun.")
    expect(page.locator("#models")).to_contain_text("tiny@1")
    page.locator("#models").get_by_role("link", name="Test").click()

    expect(page.locator("#test-model input")).to_have_value("tiny@1")
    _choose(page, "test-suite", SUITE)
    page.get_by_role("button", name="Sampling").click()
    page.get_by_label("Longest answer, in tokens").fill("12")
    page.get_by_role("button", name="Start the test").click()
    expect(page.locator("#run")).to_contain_text(f"tiny@1 on {SUITE}")
    expect(page.locator("#run .badge").first).to_have_text("succeeded", timeout=180_000)
    expect(page.locator("#run .figures")).to_contain_text("13cases judged")
    expect(page.locator("#run")).to_contain_text("0 %conforming")

    rows = page.locator("#verdicts tbody tr")
    expect(rows).to_have_count(13)
    _choose(page, "filter-tool", "execute_command")
    expect(rows).to_have_count(1)
    _choose(page, "filter-tool", "read_file")
    expect(rows.first).to_contain_text("core-read_file")
    rows.first.get_by_role("button").click()
    transcript = page.locator("#transcript")
    expect(transcript).to_contain_text("core-read_file")
    expect(transcript.locator(".layer.failed").first).to_be_visible()
    expect(transcript).to_contain_text(HOSTILE)
    assert re.search(r"[?&]run=.+&transcript=", page.url)


def test_a_page_opened_by_its_address_shows_the_same_run(page: Page, url: str) -> None:
    run = Gateway(url).get("/test-runs")["test_runs"][0]
    page.goto(f"{url}/test?run={run['test_run_id']}")
    expect(page.locator("#verdicts tbody tr")).to_have_count(13)
    expect(page.locator("#runs .item.picked")).to_have_count(1)


def test_what_is_refused_is_said_on_the_page(page: Page, url: str) -> None:
    page.goto(url)
    page.get_by_label("Import from this machine").fill("/no/such/model.gguf")
    page.get_by_label("Name of the model").fill("tiny")
    page.get_by_role("button", name="Import").click()
    expect(page.locator("#import-message [role=alert], #imports [role=alert]").first).to_contain_text(
        "/no/such/model.gguf"
    )
    page.goto(f"{url}/improve?loop=nosuch")
    expect(page.locator("#loop")).to_contain_text("nosuch")
    page.get_by_label("Minutes").fill("-3")
    page.get_by_role("button", name="Start improving").click()
    expect(page.locator("#loop-message [role=alert]")).to_contain_text("minutes")


@pytest.mark.parametrize("path", ["/", "/test", "/train", "/improve", "/docs"])
def test_every_page_stands_alone_and_every_control_has_a_name(page: Page, url: str, path: str) -> None:
    failures: list[str] = []
    page.on("pageerror", lambda error: failures.append(str(error)))
    page.goto(url + path)
    expect(page.locator("nav[aria-label=Pages]")).to_be_visible()
    if path != "/docs":
        expect(page.locator("#title")).to_be_visible()
    nameless = page.eval_on_selector_all("input, textarea, select, button", _NAMELESS)
    assert nameless == []
    assert failures == []
