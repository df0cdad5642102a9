"""What a page costs a browser that was never here: `python -m tests.bench.gateway.first_page [--visits 5] [--files]`.

Opens pages in Debian's Chromium, each time with an empty cache, from a gateway whose pages are made already. Prints how
many files came, how many bytes over the wire, when the page's own text was there by the clock, and how much processor
time browser and gateway took together until then: a machine that does nothing else needs no longer, even with one core.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil
from playwright.sync_api import Browser, sync_playwright

from tests.integration.processes import start_service
from tests.integration.system_process import running_system

_PATIENCE_MS: Final = 120_000
_FLAGS: Final = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")
# What each page shows once its first reading is there.
_PAGES: Final = {"/": "#home h2", "/test-runs": "#runs .item"}


@dataclass(frozen=True)
class Visit:
    """What one visit took: bytes by address, and seconds by the clock and of the processor until the page was there."""

    files: dict[str, int]
    seconds: float
    browser_seconds: float
    gateway_seconds: float
    main_thread_seconds: float


def main() -> None:
    """Measure a gateway before services with a made-up model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--visits", type=int, default=5)
    parser.add_argument("--files", action="store_true", help="list what came, largest first")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as name,
        running_system(Path(name)) as system,
        start_service("gateway", system.folder, port=0, **system.addresses) as gateway,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=list(_FLAGS))
        process = psutil.Process(gateway.process.pid)
        for path, shown in _PAGES.items():
            url = f"http://{gateway.address}{path}"
            _visit(browser, process, url, shown)
            visits = [_visit(browser, process, url, shown) for _ in range(options.visits)]
            _print(path, visits)
            for address, size in sorted(visits[-1].files.items(), key=lambda file: -file[1]) if options.files else ():
                print(f"  {size:9} {address}")
        browser.close()


def _visit(browser: Browser, gateway: psutil.Process, url: str, shown: str) -> Visit:
    context = browser.new_context(viewport={"width": 1440, "height": 1000})
    page = context.new_page()
    session = context.new_cdp_session(page)
    addresses: dict[str, str] = {}
    files: dict[str, int] = {}

    def note_request(event: dict[str, Any]) -> None:
        addresses[event["requestId"]] = event["request"]["url"]

    def note_end(event: dict[str, Any]) -> None:
        files[addresses[event["requestId"]]] = event["encodedDataLength"]

    session.on("Network.requestWillBeSent", note_request)
    session.on("Network.loadingFinished", note_end)
    session.send("Network.enable")
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    before = _browser_seconds(), sum(gateway.cpu_times()[:2])
    page.goto(url, wait_until="commit", timeout=_PATIENCE_MS)
    page.wait_for_selector(shown, timeout=_PATIENCE_MS)
    seconds = page.evaluate("performance.now() / 1000")
    metrics = {item["name"]: item["value"] for item in session.send("Performance.getMetrics")["metrics"]}
    spent = _browser_seconds() - before[0], sum(gateway.cpu_times()[:2]) - before[1]
    context.close()
    return Visit(files, seconds, *spent, metrics["TaskDuration"])


def _browser_seconds() -> float:
    processes = psutil.Process().children(recursive=True)
    return sum(sum(process.cpu_times()[:2]) for process in processes if "chromium" in process.name())


def _print(path: str, visits: list[Visit]) -> None:
    sizes = statistics.median(sum(visit.files.values()) for visit in visits)
    clock = statistics.median(visit.seconds for visit in visits)
    browser = statistics.median(visit.browser_seconds for visit in visits)
    gateway = statistics.median(visit.gateway_seconds for visit in visits)
    main_thread = statistics.median(visit.main_thread_seconds for visit in visits)
    print(
        f"{path:12} {len(visits[-1].files)} files, {sizes / 1e6:.3f} MB; {clock:.2f} s by the clock,"
        f" {browser:.2f} s of the processor by the browser, {main_thread:.2f} s of it by the page's main thread, and"
        f" {gateway:.2f} s by the gateway",
        flush=True,
    )


if __name__ == "__main__":
    main()
