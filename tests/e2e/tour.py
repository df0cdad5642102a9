"""A newcomer's first minutes in a browser, by what is written on the pages alone: `python -m tests.e2e.tour`.

It imports a real small model, tests it, reads the first failure, and starts a loop; the pictures and the time that each
step took become docs/tour.md. Wants Debian's Chromium and the wheel of the demo's model.
"""

from __future__ import annotations

import argparse
import platform
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from playwright.sync_api import Page, expect, sync_playwright

from services.lm.process import usable_cores
from tests.bench.testing.workload import smollm_gguf
from ui.cli.processes import System

_SUITE: Final = "roo_native/smoke@1"
_PATIENCE_MS: Final = 180_000


class Tour:
    """One visit; each step is timed from the click before it to what a person sees."""

    def __init__(self, page: Page, url: str, folder: Path, model: Path) -> None:
        self._page, self._url, self._folder, self._model = page, url, folder, model
        self.steps: list[tuple[str, float, str]] = []

    def step(self, name: str, sentence: str, act: Callable[[Page], None]) -> None:
        """Do a step, take its time, and then its picture."""
        start = time.monotonic()
        act(self._page)
        self.steps.append((sentence, time.monotonic() - start, f"{name}.png"))
        self._page.mouse.move(0, 0)
        self._page.screenshot(path=self._folder / f"{name}.png")

    def take(self) -> None:
        """Walk from the first page to a loop at work."""
        self.step("home", "The first page says what to do next.", self._arrive)
        self.step("model", "“Import”, the path of a GGUF file, and a name: the model is registered.", self._import)
        self.step("test", f"“Test” beside it, the suite {_SUITE}, “Start the test”: every case is judged.", self._test)
        self.step("failure", "The first failure, opened: which check did not pass, and why.", self._read)
        self.step("loop", "“Improve”, then “Start improving”: the loop is at work.", self._improve)

    def _arrive(self, page: Page) -> None:
        page.goto(self._url)
        expect(page.get_by_text("There is no model yet.")).to_be_visible()

    def _import(self, page: Page) -> None:
        page.get_by_role("link", name="Import", exact=True).click()
        page.get_by_label("Import a model").fill(str(self._model))
        page.get_by_label("Name of the model").fill("smollm2")
        page.get_by_role("button", name="Import", exact=True).click()
        expect(page.get_by_role("button", name="smollm2@1")).to_be_visible()

    def _test(self, page: Page) -> None:
        page.get_by_role("link", name="Test", exact=True).click()
        page.get_by_label("Suite", exact=True).click()
        page.get_by_role("option", name=_SUITE, exact=True).click()
        page.get_by_role("button", name="Start the test").click()
        expect(page.get_by_text("cases judged")).to_be_visible()
        expect(page.get_by_text("succeeded", exact=True).first).to_be_visible()

    def _read(self, page: Page) -> None:
        page.get_by_role("region", name="Transcripts").get_by_role("button").first.click()
        given = page.get_by_role("heading", name="What the model was given")
        expect(given).to_be_visible()
        given.evaluate("heading => heading.closest('.card').scrollIntoView()")

    def _improve(self, page: Page) -> None:
        page.get_by_role("link", name="Improve", exact=True).click()
        expect(page.get_by_label("Model", exact=True)).to_have_value("smollm2@1")
        page.get_by_role("button", name="Start improving").click()
        expect(page.get_by_role("button", name="Cancel this loop")).to_be_visible()
        page.evaluate("window.scrollTo(0, 0)")


def main() -> None:
    """Take the tour and write docs/tour.md with its pictures."""
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.tour", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs"), help="where tour.md and examples/tour go")
    out = parser.parse_args().out
    folder = out / "examples" / "tour"
    folder.mkdir(parents=True, exist_ok=True)
    expect.set_options(timeout=_PATIENCE_MS)
    with tempfile.TemporaryDirectory() as data, System(Path(data)) as system, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1200, "height": 800})
        model = Path(shutil.copy(smollm_gguf(), data))
        tour = Tour(page, system.url, folder, model)
        tour.take()
        browser.close()
    (out / "tour.md").write_text(_page(tour), encoding="utf-8")


def _page(tour: Tour) -> str:
    total = sum(seconds for _, seconds, _ in tour.steps)
    lines = [
        "# The first minutes",
        "",
        "Made by `make tour`, a program that finds its way by what is written on the pages alone, after `make up`:",
        f"{total:.0f} seconds in all on {usable_cores()} cores of {platform.machine()}. `make firefox` takes the same",
        "steps in Firefox, with a tiny model, and then opens every page.",
        "",
    ]
    for number, (sentence, seconds, picture) in enumerate(tour.steps, start=1):
        lines += [f"## {number}. {sentence}", "", f"{seconds:.1f} s", "", f"![{sentence}](examples/tour/{picture})", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
