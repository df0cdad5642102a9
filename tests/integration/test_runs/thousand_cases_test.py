"""A thousand cases through the test runner as a process, none of them held longer than its window."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from drillyard.job.v1 import job_pb2
from drillyard.test_runner.v1 import comparison_pb2, test_run_pb2, test_runner_service_pb2_grpc, transcript_pb2

from services.protocols.profile import get_profile
from tests.fakes.endpoint import MODEL, running, says
from tests.integration.tiny_stack import TinyStack, connected, create_run, finished_run, tiny_stack
from tests.machine import PATIENCE_SECONDS

NUM_CASES = 1000
MAX_BYTES = 300 * 2**20

pytestmark = pytest.mark.timeout(400)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TinyStack]:
    cases = list(get_profile("roo_xml").draw(1, NUM_CASES, categories=("single_call",)))
    folder: Path = tmp_path_factory.mktemp("thousand")
    async with tiny_stack(folder, num_cases=0, window_size=65, cases=cases) as made:
        yield made


def peak_bytes(pid: int) -> int:
    """Return the most memory that a process had at once."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


async def test_a_thousand_cases_are_run_stored_and_listed_in_little_memory(stack: TinyStack) -> None:
    async with running(says("I do not know.")) as server, connected(stack.runner) as channel:
        stub = test_runner_service_pb2_grpc.TestRunnerServiceStub(channel)
        endpoint = test_run_pb2.Endpoint(base_url=server.base_url, model=MODEL, max_concurrency=8)
        chosen = {"model_version_id": "", "endpoint": endpoint, "prompt_size": "full", "dtype": ""}
        run = await create_run(stub, "thousand", test_suite_version_id=stack.suite, **chosen)
        done = await finished_run(stub, run.test_run_id)
        assert done.job.state == job_pb2.JOB_STATE_SUCCEEDED, done.job.error
        assert len(server.asked) == NUM_CASES
        numbers, token = [], ""
        while True:
            request = transcript_pb2.ListTranscriptsRequest(
                test_run_id=run.test_run_id, page_size=1000, page_token=token
            )
            page = await stub.ListTranscripts(request)
            assert page.ByteSize() < 16 * 2**20
            numbers += [item.sequence for item in page.transcripts]
            token = page.next_page_token
            if not token:
                break
        compare = comparison_pb2.CompareTestRunsRequest(
            before_test_run_id=run.test_run_id, after_test_run_id=run.test_run_id
        )
        assert (await stub.CompareTestRuns(compare, timeout=PATIENCE_SECONDS)).num_identical == NUM_CASES
    assert numbers == list(range(1, NUM_CASES + 1))
    peak = peak_bytes(stack.runner.process.pid)
    print(f"peak of the service: {peak / 2**20:.0f} MiB")
    assert peak < MAX_BYTES
