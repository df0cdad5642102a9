"""How long a page of 50,000 test runs takes: `python -m tests.bench.testing.listing [RUNS]`.

A run of a tiny random model is made and its row copied, in the SQLite database of a stopped service. The service that
is started then is asked over gRPC for the newest page, for one in the middle, and for the largest page that there is.
"""

from __future__ import annotations

import asyncio
import sqlite3
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from drillyard.test_runner.v1 import test_run_pb2, test_runner_service_pb2_grpc

from tests.integration.tiny_stack import connected, create_run, finished_run, tiny_stack

_CALLS: Final = 20
_LARGEST: Final = 1000
_COPY = """
WITH RECURSIVE numbers(number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < :copies)
INSERT INTO jobs ({columns}) SELECT {values} FROM jobs, numbers WHERE jobs.ordinal = 1
"""


def main() -> None:
    """Print the median and the longest of some calls for each page."""
    num_runs = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_measured(Path(folder), num_runs))


async def _measured(folder: Path, num_runs: int) -> None:
    async with tiny_stack(folder, num_cases=1) as stack:
        async with connected(stack.runner) as channel:
            stub = test_runner_service_pb2_grpc.TestRunnerServiceStub(channel)
            await finished_run(stub, (await create_run(stub, "one", test_suite_version_id=stack.suite)).test_run_id)
        stack.runner.stop()
        _copy_rows(folder / "test_runner" / "state.db", num_runs - 1)
        stack.start_runner()
        async with connected(stack.runner) as channel:
            stub = test_runner_service_pb2_grpc.TestRunnerServiceStub(channel)
            middle = ""
            for _ in range(num_runs // 2 // _LARGEST):
                request = test_run_pb2.ListTestRunsRequest(page_size=_LARGEST, page_token=middle)
                middle = (await stub.ListTestRuns(request)).next_page_token
            for name, size, token in (("newest", 50, ""), ("middle", 50, middle), ("largest", _LARGEST, "")):
                request = test_run_pb2.ListTestRunsRequest(page_size=size, page_token=token)
                seconds = []
                for _ in range(_CALLS):
                    begin = time.perf_counter()
                    answer = await stub.ListTestRuns(request)
                    seconds.append(time.perf_counter() - begin)
                print(
                    f"{name:8} {len(answer.test_runs):5} of {num_runs} runs: {1e3 * statistics.median(seconds):6.1f} ms"
                    f" in the median, {1e3 * max(seconds):6.1f} ms at the most"
                )


def _copy_rows(database: Path, copies: int) -> None:
    with sqlite3.connect(database) as connection:
        names = [row[1] for row in connection.execute("PRAGMA table_info(jobs)") if row[1] != "ordinal"]
        fresh = {name: f"{name} || number" for name in ("job_id", "request_id")}
        statement = _COPY.format(columns=", ".join(names), values=", ".join(fresh.get(name, name) for name in names))
        connection.execute(statement, {"copies": copies})


if __name__ == "__main__":
    main()
