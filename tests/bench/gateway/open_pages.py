"""What open pages cost the gateway: `python -m tests.bench.gateway.open_pages [--pages 200] [--seconds 60] [--alone]`.

Keeps so many pages of a kind open at a gateway before services with a made-up model, or with `--alone` before none:
each is a client that sends what a browser sends for a page that is seen, by a session of its own, and waits between its
questions as the gateway says. Prints how often the pages ask, and the gateway's processor time; then closes all but
five, and prints for how long those go on asking as seldom.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import httpx
import psutil

from tests.bench.gateway.pages import TIMEOUT, OpenPage
from tests.integration.processes import start_service
from tests.integration.system_process import running_system
from ui.cli.connection import Gateway

_SERVICES: Final = ("registry", "test_runner", "evaluator", "trainer", "feedback")
_NUM_LEFT: Final = 5
_SETTLE_SECONDS: Final = 30.0


def main() -> None:
    """Measure the first page, the list of runs, a run with its verdicts, and the models."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60.0)
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
        process = psutil.Process(gateway.process.pid)
        for path in paths:
            asyncio.run(_measure(f"http://{gateway.address}", path, process, options.pages, options.seconds))


async def _measure(url: str, path: str, process: psutil.Process, num_pages: int, seconds: float) -> None:
    # The gateway closes what is idle for 5 s; a client that uses it in that very moment would lose its question.
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=1.0)
    async with httpx.AsyncClient(base_url=url, timeout=TIMEOUT, limits=limits) as client:
        html = (await client.get(path)).text
        pages = [OpenPage(client, html, path.partition("?")[2]) for _ in range(num_pages)]
        first = max(pages[0].intervals)
        await asyncio.gather(*(page.open() for page in pages))
        tasks = [asyncio.create_task(page.stay()) for page in pages]
        await asyncio.sleep(_SETTLE_SECONDS)
        start, before, asked = time.monotonic(), sum(process.cpu_times()[:2]), _num_questions(pages)
        await asyncio.sleep(seconds)
        passed = time.monotonic() - start
        cores, rate = (sum(process.cpu_times()[:2]) - before) / passed, (_num_questions(pages) - asked) / passed
        crowded = max(max(page.intervals) for page in pages)
        await _end(tasks[_NUM_LEFT:])
        start = time.monotonic()
        while any(max(page.intervals) > first for page in pages[:_NUM_LEFT]):
            await asyncio.sleep(0.1)
        slow_seconds = time.monotonic() - start
        num_failures = sum(page.num_failures for page in pages)
        await _end(tasks[:_NUM_LEFT])
    print(
        f"{path.partition('=')[0]:15} {num_pages} pages ask every {crowded:.1f} s each, {rate:.1f} times a second,"
        f" and take {cores:.2f} cores; {_NUM_LEFT} that stay ask every {first:.1f} s again after {slow_seconds:.0f} s;"
        f" {num_failures} connections broke",
        flush=True,
    )


def _num_questions(pages: list[OpenPage]) -> int:
    return sum(page.num_questions for page in pages)


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
            raise result


if __name__ == "__main__":
    main()
