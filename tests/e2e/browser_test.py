"""The pages in Debian's Chromium, on real services: import a tiny model, test, read, compare and try it."""

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
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import BrowserContext, FilePayload, Page, Request, expect, sync_playwright

from services.protocols.profile import get_profile
from tests.integration.processes import ROOT
from tests.machine import PATIENCE_SECONDS
from tests.unit.chassis.machine.webhook_receiver import running_receiver
from ui.cli.connection import Gateway
from ui.cli.processes import System
from ui.shared.environment import PAGES

CHROMIUM = shutil.which("chromium")
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")
HOSTILE = (
    "<img src='https://example.org/x.png' onerror='window.broken = 1'><script>window.broken = 1</script> ${1} {{x}}"
)
SUITE = "roo_xml/browser@1"
PATIENCE_MS = 1000 * PATIENCE_SECONDS
VIOLATIONS = """async () => (await axe.run({resultTypes: ['violations']})).violations
    .flatMap(rule => rule.nodes.map(node => `${rule.id}: ${node.html.slice(0, 200)}`))"""
OPEN = {"./models": "/models?model=tiny@1", "./playground": "/playground?beside=tiny@1"}
PATHS = [*(OPEN.get(address, address[1:]) for _, address in PAGES), "/settings", "/docs"]
pytestmark = [pytest.mark.in_order, pytest.mark.browser, pytest.mark.timeout(600)]

if CHROMIUM is None and os.environ.get("CI") != "true":
    pytest.skip("needs Debian's Chromium: apt-get install chromium", allow_module_level=True)


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the model in a process of its own, so that this one never loads torch."""
    folder = tmp_path_factory.mktemp("model") / "tiny"
    program = "import pathlib, sys, services.lm.tiny as tiny; tiny.write_tiny_model(pathlib.Path(sys.argv[1]))"
    subprocess.run(
        [sys.executable, "-c", program, str(folder)], check=True, cwd=ROOT, env=_environment(), timeout=PATIENCE_SECONDS
    )
    return folder


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    former = dict(os.environ)
    services = ("REGISTRY", "TEST_RUNNER", "EVALUATOR", "TRAINER", "FEEDBACK")
    os.environ.update(_environment(), **{f"{name}_WEBHOOK_HOSTS": '["127.0.0.1"]' for name in services})
    try:
        with System(tmp_path_factory.mktemp("browser")) as system:
            Gateway(system.url).upload("/test-suites", _suite(), test_suite_id="roo_xml/browser")
            yield system.url
    finally:
        os.environ.clear()
        os.environ.update(former)


@pytest.fixture(scope="module")
def context() -> Iterator[BrowserContext]:
    """One browser with one cache: what all pages load is fetched and compiled once."""
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield browser.new_context(viewport={"width": 1440, "height": 1000})
        browser.close()


@pytest.fixture
def page(context: BrowserContext, url: str) -> Iterator[Page]:
    opened = context.new_page()
    # The first page of a gateway waits until all of them are made.
    opened.set_default_timeout(PATIENCE_MS)
    foreign: list[str] = []

    def note(request: Request) -> None:
        # What stays open for as long as a page does leaves a browser with many tabs no connection for another one.
        if not request.url.startswith((url, "data:", "blob:")) or "/heartbeat/" in request.url:
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
    page.locator("#home").get_by_role("link", name="Import").click()
    page.get_by_label("Name of the model").fill("tiny")
    page.locator("#import-upload input[webkitdirectory]").set_input_files(tiny_model)
    expect(page.locator("#import-message")).to_contain_text("The import of tiny has begun.")
    expect(page.locator("#models")).to_contain_text("tiny@1")
    page.locator("#models").get_by_role("button", name="tiny@1").click()
    expect(page.locator("#lineage").get_by_role("link", name="tiny@1")).to_have_attribute("aria-current", "true")
    page.locator("#models").get_by_role("link", name="Test").first.click()

    expect(page.locator("#test-model input")).to_have_value("tiny@1")
    _choose(page, "test-suite", SUITE)
    page.get_by_role("button", name="Sampling").click()
    page.get_by_label("Longest answer, in tokens").fill("12")
    page.get_by_role("button", name="Start the test").click()
    expect(page.locator("#run")).to_contain_text(f"tiny@1 on {SUITE}")
    expect(page.locator("#run .badge").first).to_have_text("succeeded")
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


def _import(page: Page, url: str, box: str, content: str) -> None:
    page.goto(url)
    page.get_by_role("button", name="Import a file").click()
    file = FilePayload(name="mine.jsonl", mimeType="application/jsonl", buffer=content.encode())
    page.locator(f"#{box}-file input[type=file]").set_input_files(file)
    expect(page.locator(f"#{box}-file")).to_contain_text(re.compile(r"mine\s*\.jsonl"))
    if page.locator(f"#{box}-dataset-id").count():
        page.locator(f"#{box}-dataset-id").get_by_role("textbox").fill("chats")
    page.locator(f"#{box}-start").click()


def test_files_are_imported_and_published_by_jobs_that_say_what_came_of_them(
    page: Page, url: str, tmp_path: Path
) -> None:
    chat = [{"role": "user", "content": "Name a colour."}, {"role": "assistant", "content": "Blue."}]
    imports = page.locator("#dataset-imports")
    _import(page, f"{url}/datasets", "dataset-import", "no row")
    expect(imports).to_contain_text("Line 1")
    _import(page, f"{url}/datasets", "dataset-import", json.dumps({"messages": chat}))
    expect(imports).to_contain_text("Registered as chats@1")
    imports.get_by_role("link", name="chats@1").click()
    expect(page.locator("#dataset-mix h2")).to_have_text("chats@1")
    page.get_by_role("button", name="Publish").first.click()
    page.get_by_label("Publish the open version to").fill(f"folder:{tmp_path}/chats")
    page.locator("#dataset-publish-publish").click()
    expect(page.locator("#dataset-publications")).to_contain_text(f"There as {tmp_path}/chats")
    assert (tmp_path / "chats" / "data" / "train.parquet").is_file()

    item = {"chat": {"messages": chat}, "rating": {"value": 1}, "author": "ann"}
    _import(page, f"{url}/feedback", "feedback-import", json.dumps(item))
    expect(page.locator("#feedback-imports")).to_contain_text("1 items are new")
    expect(page.locator("#inbox")).to_contain_text("ann")


def test_a_page_opened_by_its_address_shows_the_same_run(page: Page, url: str) -> None:
    run = Gateway(url).get("/test-runs")["test_runs"][0]
    page.goto(f"{url}/test-runs?run={run['test_run_id']}")
    expect(page.locator("#verdicts tbody tr")).to_have_count(13)
    expect(page.locator("#runs .item.picked")).to_have_count(1)
    for name, beginning in (
        ("Save “Conforming by tool” as SVG", b"<svg"),
        ("Save “Conforming by tool” as PNG", b"\x89PNG"),
        ("Save “Test runs” as CSV", "\ufeffCase,Tool,Verdict,Why".encode()),
    ):
        with page.expect_download() as downloading:
            page.get_by_role("button", name=name).click()
        assert downloading.value.path().read_bytes().startswith(beginning)
    page.locator(".dy").first.evaluate(
        """(place) => place.append(Object.assign(document.createElement('table'), {
            innerHTML: '<tr><th>Odd</th></tr><tr><td>x;"=1+1</td></tr>', id: 'odd'}))"""
    )
    with page.expect_download() as downloading:
        page.locator("#odd + .save").get_by_role("button").click()
    assert downloading.value.path().read_text(encoding="utf-8-sig").splitlines() == ["Odd", """"x;'""=1+1\""""]
    zone = page.evaluate("Intl.DateTimeFormat().resolvedOptions().timeZone")
    expect(page.locator("#runs time").first).to_have_attribute("data-zone", zone)


def test_a_suite_is_read_case_by_case_and_a_wrong_file_is_refused_by_its_lines(page: Page, url: str) -> None:
    page.goto(f"{url}/test-suites")
    page.locator("#suites").get_by_role("button", name=SUITE).click()
    rows = page.locator("#cases tbody tr")
    expect(rows).to_have_count(13)
    _choose(page, "suite-tool", "read_file")
    expect(rows).to_have_count(1)
    rows.first.get_by_role("button").click()
    expect(page.locator("#case")).to_contain_text("What a right answer holds")
    expect(page.locator("#case")).to_contain_text(HOSTILE)

    page.get_by_role("button", name="Import a suite of your own").click()
    page.locator("#suite-test-suite-id").get_by_role("textbox").fill("roo_xml/other")
    wrong = FilePayload(name="wrong.jsonl", mimeType="application/jsonl", buffer=b"no case")
    page.locator("#suite-file input[type=file]").set_input_files(wrong)
    expect(page.locator("#suite-file")).to_contain_text(re.compile(r"wrong\s*\.jsonl"))
    page.get_by_role("button", name="Check", exact=True).click()
    expect(page.locator("#suite-message")).to_contain_text("Line 1")


def test_an_error_stands_beside_its_field_even_where_it_is_folded(page: Page, url: str) -> None:
    page.goto(f"{url}/test-runs")
    _choose(page, "test-suite", SUITE)
    page.get_by_role("button", name="Sampling").click()
    page.get_by_label("Min-p").fill("7")
    page.get_by_label("Min-p").press("Tab")
    page.get_by_role("button", name="Sampling").click()
    page.get_by_role("button", name="Start the test").click()
    expect(page.locator("#test-min-p .dy-blame")).to_contain_text("between 0 and 1")
    expect(page.get_by_label("Min-p")).to_be_focused()
    page.get_by_label("Min-p").fill("0")
    page.get_by_label("A served model").check()
    page.get_by_label("Address").fill("nowhere")
    page.get_by_role("button", name="Start the test").click()
    expect(page.locator("#test-endpoint-base-url .dy-blame")).to_contain_text("base URL")


def test_a_repeated_run_is_compared_with_the_first_and_reported(page: Page, url: str) -> None:
    run = Gateway(url).get("/test-runs")["test_runs"][0]
    page.goto(f"{url}/test-runs?run={run['test_run_id']}")
    page.get_by_role("button", name="Repeat").click()
    expect(page.locator("#run")).to_contain_text("Repeats the run")
    expect(page.locator("#run .badge").first).to_have_text("succeeded")
    page.locator("#run-actions").get_by_role("link", name="Compare").click()
    expect(page.locator("#compare-after input")).to_have_value(re.compile("tiny@1"))
    page.get_by_role("button", name="Compare", exact=True).click()
    expect(page.locator("#comparison .hero")).to_contain_text("0 %")
    expect(page.locator("#comparison table.matrix tbody tr")).to_have_count(13)
    with page.expect_download() as downloading:
        page.get_by_role("link", name="Download the report").click()
    assert "<html" in downloading.value.path().read_text(encoding="utf-8")

    page.get_by_label("Whether two forms answer the same").check()
    expect(page.locator("#compare-after input")).to_have_value(re.compile("tiny@1"))
    page.get_by_role("button", name="Compare", exact=True).click()
    expect(page.locator("#comparison .badge").first).to_have_text("the same")
    expect(page.locator("#comparison")).to_contain_text("13answers compared")

    both = ",".join(run["test_run_id"] for run in Gateway(url).get("/test-runs")["test_runs"][:2])
    page.goto(f"{url}/comparisons?runs={both}")
    page.locator("#compare-cases .pick button").first.click()
    expect(page.locator("#compare-columns pre.answer")).to_have_count(2)
    expect(page.locator(".nav-holder")).to_be_hidden()


def test_a_case_is_tried_by_hand_and_judged(page: Page, url: str) -> None:
    case = Gateway(url).get(f"/test-suites/{SUITE}/cases")["test_cases"][0]
    page.goto(f"{url}/playground?suite={SUITE}&case={case['case_id']}&model=tiny@1&beside=tiny@1")
    expect(page.locator("#playground-case input")).to_have_value(case["case_id"])
    page.get_by_role("button", name="Sampling").click()
    expect(page.get_by_label("Longest answer, in tokens")).to_have_value("192")
    page.get_by_role("button", name="Show the prompt").click()
    expect(page.locator("#prompt")).to_contain_text(HOSTILE)
    expect(page.locator("#prompt")).to_contain_text("tokens")
    page.get_by_label("Longest answer, in tokens").fill("12")
    page.get_by_label("Longest answer, in tokens").press("Tab")
    expect(page.get_by_label("Longest answer, in tokens")).to_have_value("12")
    page.get_by_role("button", name="Answer", exact=True).click()
    for judgement in ("#judgement", "#beside-judgement"):
        expect(page.locator(f"{judgement} .layer.failed").first).to_be_visible()

    page.get_by_label("My own message").check()
    page.get_by_role("button", name="Answer", exact=True).click()
    expect(page.locator("#playground-messages .dy-blame")).to_contain_text("no message")
    page.get_by_label("Message", exact=True).fill(HOSTILE)
    page.get_by_role("button", name="Answer", exact=True).click()
    for answer in ("#answer", "#beside-answer"):
        expect(page.locator(f"{answer} [aria-busy=false]")).to_contain_text("12 answer tokens")
    expect(page.locator("#talk")).to_contain_text(HOSTILE)
    page.get_by_role("button", name="Save as a case").first.click()
    page.locator("#save-suite-name").get_by_role("textbox").fill("mine")
    page.locator("#save-right").get_by_role("textbox").fill("Blue.")
    page.locator("#playground-save-case").click()
    expect(page.locator("#save-message")).to_contain_text("It is a case of text/mine@")


def test_a_version_is_watched_paused_resumed_and_left_alone(page: Page, url: str) -> None:
    # Another try may have left one.
    for left in Gateway(url).get("/schedules")["schedules"]:
        Gateway(url).delete(f"/schedules/{left['schedule_id']}")
    page.goto(f"{url}/schedules?model=tiny@1&suite={SUITE}")
    expect(page.locator("#schedule-model input")).to_have_value("tiny@1")
    expect(page.locator("#schedule-suite input")).to_have_value(SUITE)
    page.locator("#schedule-every-hours input").fill("24")
    page.get_by_role("button", name="Watch", exact=True).click()
    # Of so few cases nobody could be sure of four fifths.
    expect(page.locator("#schedule-message [role=alert]")).to_contain_text("even if all")
    page.get_by_label("Goals, one a line").fill("conforming_rate>=0.5")
    page.get_by_role("button", name="Watch", exact=True).click()
    schedule = page.locator("#schedule")
    expect(schedule).to_contain_text(f"Tests tiny@1 on {SUITE}")
    expect(page.locator("#schedules .item.picked")).to_contain_text("tiny@1")
    page.locator("#schedule-pause").click()
    expect(schedule).to_contain_text("paused")
    page.locator("#schedule-resume").click()
    expect(schedule).to_contain_text("next due")
    page.locator("#schedule-delete").click()
    expect(schedule).to_contain_text("No schedule is open")
    assert Gateway(url).get("/schedules")["schedules"] == []


def test_a_person_is_told_by_a_webhook_and_in_the_browser(page: Page, url: str) -> None:
    page.add_init_script(
        """window.told = [];
        window.Notification = class {
            static permission = 'granted';
            static requestPermission() { return Promise.resolve('granted'); }
            constructor(title) { window.told.push(title); }
        };"""
    )
    with running_receiver() as receiver:
        page.goto(f"{url}/settings")
        page.evaluate("localStorage.clear()")
        page.get_by_label("Webhook or mail address").fill(receiver.url)
        page.get_by_role("button", name="Tell it").click()
        expect(page.locator("#signing-secret")).to_contain_text("whsec_")
        address = receiver.url.removesuffix("/hook")
        page.get_by_role("button", name=f"Test {address}").click()
        # Each load shows what the deliveries have come to.
        expect(page.locator("#notices")).to_contain_text("webhook.test")
        page.wait_for_function(
            """async () => (await (await fetch('./api/v1/deliveries')).json()).deliveries.some(
                (one) => one.event === 'webhook.test' && one.state === 'SUCCEEDED')""",
            polling=500,
        )
        assert "webhook.test" in {json.loads(body)["type"] for _, body in receiver.taken}
        page.get_by_role("button", name=f"Remove {address}").click()
        expect(page.get_by_role("button", name=f"Remove {address}")).to_have_count(0)
    switch = page.locator("#browser-notices")
    expect(switch).to_have_text("Tell me in this browser")
    switch.click()
    expect(switch).to_have_text("Tell me no more in this browser")
    _import(page, f"{url}/datasets", "dataset-import", "no row")
    page.wait_for_function("() => window.told.includes('dataset import: failed')", timeout=PATIENCE_MS)
    page.evaluate("localStorage.clear()")


def test_what_is_refused_is_said_on_the_page(page: Page, url: str) -> None:
    page.goto(url + "/models")
    page.get_by_label("Import a model").fill("/no/such/model.gguf")
    page.get_by_label("Name of the model").fill("tiny")
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.locator("#import-message [role=alert], #imports [role=alert]").first).to_contain_text(
        "/no/such/model.gguf"
    )
    page.goto(f"{url}/loops?loop=nosuch")
    expect(page.locator("#loop")).to_contain_text("nosuch")
    page.get_by_label("Minutes").fill("-3")
    page.get_by_role("button", name="Start improving").click()
    expect(page.locator("#loop-message [role=alert]")).to_contain_text("minutes")


@pytest.mark.parametrize("path", PATHS)
def test_every_page_stands_alone_and_keeps_axes_rules_in_both_themes(page: Page, url: str, path: str) -> None:
    failures: list[str] = []
    page.on("pageerror", lambda error: failures.append(str(error)))
    page.goto(url + path)
    expect(page.locator("nav[aria-label=Pages]")).to_be_visible()
    if path not in ("/docs", "/settings"):
        expect(page.locator("#title")).to_be_visible()
    page.evaluate(AXE_SCRIPT)
    # The reference of the API is light alone.
    for is_dark in (False, True)[: 1 if path == "/docs" else 2]:
        page.evaluate("dark => document.body.classList.toggle('dark', dark)", is_dark)
        for _ in range(40):
            if not (violations := page.evaluate(VIOLATIONS)):
                break
            # Colours may still be on their way.
            page.wait_for_timeout(500)
        assert violations == []
    assert failures == []
