"""What open pages cost the gateway: `python -m tests.bench.gateway.open_pages [--questions 200] [--alone]`.

A page that is seen asks for its contents every few seconds, by an event of the page framework. What the browser sends
for that is sent for 20 pages at once, to a gateway before services with a made-up model, or with `--alone` before none.
Prints the gateway's processor time for one question, how often each of 200 open pages sends it, and what these take.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import httpx
import psutil

from tests.bench.gateway.pages import TIMEOUT, OpenPage
from tests.integration.processes import start_service
from tests.integration.system_process import running_system
from ui.cli.connection import Gateway
from ui.shared.cache import OpenPages

_OPEN: Final = 200
_AT_ONCE: Final = 20
_SERVICES: Final = ("registry", "test_runner", "evaluator", "trainer", "feedback")


def main() -> None:
    """Measure the first page, the list of runs, a run with its verdicts, and the models."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--alone", action="store_true")
    options = parser.parse_args()
    with ExitStack() as ending:
        folder = Path(ending.enter_context(tempfile.TemporaryDirectory()))
        addresses = {f"{name}_address": "127.0.0.1:9" for name in _SERVICES}
        if not options.alone:
            addresses = ending.enter_context(running_system(folder)).addresses
        gateway = ending.enter_context(start_service("gateway", folder, port=0, **addresses))
        paths = ["/", "/test-runs", "/models"]
        if not options.alone:
            run = Gateway(gateway.address).get("/test-runs")["test_runs"][0]["test_run_id"]
            paths.append(f"/test-runs?run={run}")
        for path in paths:
            process = psutil.Process(gateway.process.pid)
            asyncio.run(_measure(f"http://{gateway.address}", path, process, options.questions))


async def _measure(url: str, path: str, process: psutil.Process, num_questions: int) -> None:
    async with httpx.AsyncClient(base_url=url, timeout=TIMEOUT) as client:
        html = (await client.get(path)).text
        pages = [OpenPage(client, html, path.partition("?")[2]) for _ in range(_AT_ONCE)]
        await asyncio.gather(*(page.open() for page in pages))
        before, num_rounds = sum(process.cpu_times()[:2]), max(1, num_questions // _AT_ONCE)
        for _ in range(num_rounds):
            await asyncio.gather(*(page.tick() for page in pages))
        seconds = (sum(process.cpu_times()[:2]) - before) / (num_rounds * _AT_ONCE * pages[0].num_timers)
    num_timers, open_pages, interval = _OPEN * pages[0].num_timers, OpenPages(), pages[0].interval
    for number in range(num_timers):
        interval = open_pages.interval(str(number), pages[0].interval, 0.0) or interval
    print(
        f"{path.partition('=')[0]:15} {1000 * seconds:6.2f} ms a question; {_OPEN} pages send one of {num_timers} each"
        f" {interval:.1f} s and take {num_timers * seconds / interval:.2f} cores",
        flush=True,
    )


if __name__ == "__main__":
    main()
