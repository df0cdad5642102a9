"""How long a page of a table of 100,000 rows takes: `python -m tests.bench.gateway.tables [--rows 100000]`.

The verdicts of an evaluation of a made-up model are copied, in the evaluator's SQLite database, and a dataset of as
many rows is registered. Pages of both are asked for over REST, and those of verdicts by the page's event too. Prints
the median of some calls by the clock, and the processor time of gateway and services together: a machine that does
nothing else needs no longer than that, even with one core.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import httpx

from tests.bench.gateway.pages import TIMEOUT, OpenPage, busy_seconds
from tests.integration.processes import start_service
from tests.integration.system_process import running_system

_CALLS: Final = 7
_PAUSE_SECONDS: Final = 1.1
_COPY: Final = """
WITH RECURSIVE numbers(number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < :copies)
INSERT INTO verdicts ({columns}) SELECT {values} FROM verdicts, numbers WHERE evaluation_id = :evaluation
"""


def main() -> None:
    """Measure pages of verdicts and of a dataset's rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    num_rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as name, running_system(Path(name)) as system:
        evaluation = system.names["EVALUATION-BEFORE"]
        run = _copy_verdicts(Path(name) / "evaluator" / "state.db", evaluation, num_rows)
        with start_service("gateway", system.folder, port=0, **system.addresses) as gateway:
            asyncio.run(_measure(f"http://{gateway.address}", evaluation, run, num_rows))


def _copy_verdicts(database: Path, evaluation: str, num_rows: int) -> str:
    """Copy an evaluation's verdicts until it has so many, give the last one a tool of its own, and return its run."""
    with sqlite3.connect(database) as connection:
        names = [row[1] for row in connection.execute("PRAGMA table_info(verdicts)")]
        (count,) = connection.execute("SELECT count(*) FROM verdicts WHERE evaluation_id = ?", [evaluation]).fetchone()
        values = ", ".join(f"{name} + number * {count}" if name == "sequence" else name for name in names)
        statement = _COPY.format(columns=", ".join(names), values=values)
        connection.execute(statement, {"evaluation": evaluation, "copies": num_rows // count - 1})
        rare = "UPDATE verdicts SET tool = 'rare' WHERE evaluation_id = ? AND sequence = ?"
        connection.execute(rare, [evaluation, num_rows // count * count])
        of_run = "SELECT test_run_id FROM evaluations WHERE evaluation_id = ?"
        return str(connection.execute(of_run, [evaluation]).fetchone()[0])


async def _measure(url: str, evaluation: str, run: str, num_rows: int) -> None:
    async with httpx.AsyncClient(base_url=url, timeout=TIMEOUT) as client:
        verdicts = {"evaluation_id": evaluation, "page_size": 50}
        middle = await _token(client, "verdicts", {**verdicts, "page_size": 1000}, num_rows // 2000)
        await _time("verdicts, first page", lambda: _get(client, "verdicts", verdicts))
        await _time("verdicts, in the middle", lambda: _get(client, "verdicts", {**verdicts, "page_token": middle}))
        await _time("verdicts of a rare tool", lambda: _get(client, "verdicts", {**verdicts, "tool": "rare"}))
        await _time("verdicts, 1,000 a page", lambda: _get(client, "verdicts", {**verdicts, "page_size": 1000}))
        page = OpenPage(client, (await client.get(f"/test-runs?run={run}")).text, f"run={run}")
        await page.open()
        await _time("the page of a run", page.tick)
        path = f"datasets/{await _registered(client, num_rows)}/rows"
        await _time("rows, first page", lambda: _get(client, path, {"page_size": 50}))
        await _time("rows of two names", lambda: _get(client, path, {"tool": "read_file", "reason": "replay"}))


async def _registered(client: httpx.AsyncClient, num_rows: int) -> str:
    lines = []
    for number in range(num_rows):
        messages = [{"role": "user", "content": f"Question {number}?"}, {"role": "assistant", "content": "Yes."}]
        is_odd = number % 2
        names = {"tool": "read_file" if is_odd else "write_file", "reason": "mistake" if is_odd else "replay"}
        lines.append(json.dumps({"example_id": str(number), "messages": messages, **names}) + "\n")
    query = {"dataset_id": "large"}
    headers = {"Content-Type": "application/jsonl"}
    answer = await client.post("/api/v1/datasets", content="".join(lines).encode(), params=query, headers=headers)
    return str(_checked(answer)["dataset_version"]["dataset_version_id"])


async def _token(client: httpx.AsyncClient, path: str, query: dict[str, Any], num_pages: int) -> str:
    token = ""
    for _ in range(num_pages):
        token = (await _get(client, path, {**query, "page_token": token}))["next_page_token"]
    return token


async def _get(client: httpx.AsyncClient, path: str, query: dict[str, Any]) -> dict[str, Any]:
    return _checked(await client.get(f"/api/v1/{path}", params=query))


def _checked(answer: httpx.Response) -> dict[str, Any]:
    if answer.is_error:
        raise SystemExit(f"{answer.url}: {answer.status_code} {answer.text[:500]}")
    document: dict[str, Any] = answer.json()
    return document


async def _time(name: str, ask: Callable[[], Awaitable[object]]) -> None:
    await ask()
    seconds, busy = [], []
    for _ in range(_CALLS):
        # What pages read is kept for a second; what the services do unasked is left out.
        idle, rest = busy_seconds(), time.perf_counter()
        await asyncio.sleep(_PAUSE_SECONDS)
        before, start = busy_seconds(), time.perf_counter()
        await ask()
        seconds.append(time.perf_counter() - start)
        busy.append(busy_seconds() - before - (before - idle) / (start - rest) * seconds[-1])
    print(
        f"{name:26} {1000 * statistics.median(seconds):7.0f} ms by the clock,"
        f" {1000 * statistics.median(busy):5.0f} ms of the processor",
        flush=True,
    )


if __name__ == "__main__":
    main()
