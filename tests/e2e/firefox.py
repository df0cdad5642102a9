"""The pages in Debian's Firefox, on real services: `python -m tests.e2e.firefox [--pictures FOLDER]`.

Takes a newcomer's first steps with a tiny model by what is written on the pages alone, then opens every page, and fails
at whatever the browser reports: an error of a script, an entry in its console, an answer that failed, or a request to
another host. Wants firefox-esr. Of other browsers than its own builds, Playwright asks by WebDriver BiDi.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from playwright.sync_api import ConsoleMessage, Page, Request, Response, expect, sync_playwright

from tests.e2e.tour import Tour
from tests.integration.processes import ROOT
from ui.cli.processes import System
from ui.shared.environment import PAGES

_PATIENCE_MS: Final = 300_000
# Firefox 153 does not know this command, which Playwright gives to every page; whether colours are dark is left to it.
_UNKNOWN: Final = "emulation.setMediaFeaturesOverride"
_SHIM: Final = f"""const {{prototype}} = require('module'), compile = prototype._compile;
prototype._compile = function (text, ...rest) {{
  return compile.call(this, text.replaceAll('{_UNKNOWN}', 'session.status'), ...rest);
}};"""


# What a page that is being left still waits for ends in an error that nobody sees.
_LEAVE_QUIETLY: Final = "addEventListener('beforeunload', () => { console.error = console.warn = () => {}; })"


class Complaints:
    """What a browser reports of the pages that it shows."""

    def __init__(self, page: Page, url: str) -> None:
        self.sentences: list[str] = []
        self._url = url
        page.add_init_script(_LEAVE_QUIETLY)
        page.on("pageerror", lambda error: self.sentences.append(f"script: {error}"))
        page.on("console", self._note_entry)
        page.on("request", self._note_request)
        page.on("response", self._note_response)

    def _note_entry(self, entry: ConsoleMessage) -> None:
        if entry.type in ("error", "warning"):
            self.sentences.append(f"console: {entry.text}")

    def _note_request(self, request: Request) -> None:
        if not request.url.startswith((self._url, "data:", "blob:")):
            self.sentences.append(f"foreign: {request.url}")

    def _note_response(self, response: Response) -> None:
        if not response.ok and response.status != 304:
            self.sentences.append(f"status {response.status}: {response.url}")


def main() -> None:
    """Walk through the pages, and end with status 1 if Firefox complains of one."""
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.firefox", description=__doc__)
    parser.add_argument("--pictures", type=Path, help="where pictures of what was seen go")
    options = parser.parse_args()
    expect.set_options(timeout=_PATIENCE_MS)
    with tempfile.TemporaryDirectory() as name, System(Path(name) / "data") as system:
        folder = options.pictures or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        with _firefox(Path(name)) as page:
            complaints = Complaints(page, system.url)
            tour = Tour(page, system.url, folder, _tiny_model(Path(name)))
            tour.take()
            for sentence, seconds, _ in tour.steps:
                print(f"{seconds:6.1f} s  {sentence}", flush=True)
            _see_every_page(page, system.url, folder)
    for sentence in dict.fromkeys(complaints.sentences):
        print(sentence)
    sys.exit(bool(complaints.sentences))


@contextmanager
def _firefox(folder: Path) -> Iterator[Page]:
    shim = folder / "shim.js"
    shim.write_text(_SHIM, encoding="utf-8")
    os.environ["NODE_OPTIONS"] = f"--require {shim}"
    with sync_playwright() as playwright:
        browser = playwright.firefox.launch(channel="moz-firefox", executable_path=shutil.which("firefox-esr"))
        page = browser.new_page(viewport={"width": 1200, "height": 800})
        page.set_default_timeout(_PATIENCE_MS)
        yield page
        browser.close()


def _tiny_model(folder: Path) -> Path:
    """Write a model of random weights, by a process that ends, since this one shall not hold torch."""
    program = "import pathlib, sys, services.lm.tiny as tiny; tiny.write_tiny_model(pathlib.Path(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", program, str(folder / "tiny")], check=True, cwd=ROOT)
    return folder / "tiny"


def _see_every_page(page: Page, url: str, folder: Path) -> None:
    for title, path in (*PAGES, ("Settings", "settings"), ("Reference", "docs")):
        page.goto(f"{url}/{path}")
        expect(page.get_by_role("navigation", name="Pages")).to_be_visible()
        expect(page.get_by_text("Loading")).to_have_count(0)
        page.screenshot(path=folder / f"page-{title.lower().replace(' ', '-')}.png", full_page=True)
        print(f"seen    {title}", flush=True)


if __name__ == "__main__":
    main()
