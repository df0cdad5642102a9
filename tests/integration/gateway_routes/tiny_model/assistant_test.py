"""An assistant's client of the Model Context Protocol, over the standard input and output of `drillyard mcp`."""

import asyncio
import os
import sys
from typing import Any

import pytest
from mcp import Client, StdioServerParameters

from tests.integration.gateway_routes.tiny_model.conftest import Real
from tests.integration.processes import ROOT
from tests.machine import PATIENCE_SECONDS

pytestmark = [pytest.mark.asyncio(loop_scope="package"), pytest.mark.timeout(600)]


async def _answer(client: Client, tool: str, **arguments: Any) -> Any:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    return result.structured_content


async def _ended(client: Client, tool: str, **arguments: Any) -> Any:
    """Return what a tool tells of a job once that has ended well."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            (resource,) = (await _answer(client, tool, **arguments)).values()
            resource = resource[0] if isinstance(resource, list) else resource
            state = resource["job"]["state"].removeprefix("JOB_STATE_")
            if state in ("SUCCEEDED", "FAILED", "CANCELLED"):
                assert state == "SUCCEEDED", resource["job"]
                return resource
            await asyncio.sleep(0.1)


async def test_an_assistant_imports_a_model_tests_it_and_reads_the_first_failure(real: Real) -> None:
    server = StdioServerParameters(
        command=sys.executable,
        args=["-m", "ui.cli", "mcp", "--url", real.url],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT}/proto/gen"},
    )
    async with Client(server) as client:
        source = {"folder_path": str(real.stack.data_dir / "tiny")}
        started = (await _answer(client, "imports_create", model_id="assisted", **source))["model_import"]
        imported = await _ended(client, "imports_get", import_id=started["import_id"])
        run = await _answer(
            client,
            "test_runs_create",
            model_version_id=imported["model_version_id"],
            test_suite_version_id=real.stack.suite,
            sampling={"max_new_tokens": 12},
            dtype="float32",
        )
        run_id = run["test_run"]["test_run_id"]
        await _ended(client, "test_runs_get", test_run_id=run_id)
        evaluation = await _ended(client, "evaluations_list", test_run_id=run_id)
        verdicts = await _answer(client, "verdicts_list", evaluation_id=evaluation["evaluation_id"])
        failure = next(verdict for verdict in verdicts["verdicts"] if not verdict.get("conforming"))
        assert failure["cause"] == "no_call"
        transcript = await _answer(client, "transcripts_get", transcript_id=failure["transcript_id"])
        assert transcript["transcript"]["messages"][-1]["role"] == "assistant"
