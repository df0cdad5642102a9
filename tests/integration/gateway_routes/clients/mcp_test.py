"""An assistant's way through `drillyard mcp`, by the protocol's own client against a gateway with a made-up model."""

import asyncio
import sys
from typing import Any

from mcp import Client, StdioServerParameters

from tests.fakes.system.services import BASE, SUITE
from tests.integration.gateway_routes.conftest import Front
from tests.integration.processes import ROOT
from ui.cli.connection.async_gateway import AsyncGateway
from ui.cli.connection.mcp_server import mcp_server
from ui.shared.jobs import FINAL_STATES


async def _asked(client: Client, name: str, **arguments: Any) -> Any:
    result = await client.call_tool(name, arguments)
    assert not result.is_error, result.content
    return result.structured_content


async def _ended(client: Client, evaluation_id: str) -> Any:
    while True:
        answer = await _asked(client, "evaluations_get", evaluation_id=evaluation_id)
        if answer["evaluation"]["job"]["state"] in FINAL_STATES:
            return answer["evaluation"]
        await asyncio.sleep(0.05)


async def test_an_assistant_tests_a_model_reads_why_it_fails_and_is_told_of_mistakes(front: Front) -> None:
    async with AsyncGateway(front.url, "") as gateway, Client(mcp_server(gateway)) as client:
        assert BASE in {
            item["model_version_id"] for item in (await _asked(client, "model_versions_list"))["model_versions"]
        }
        run = (await _asked(client, "test_runs_create", model_version_id=BASE, test_suite_version_id=SUITE))["test_run"]
        listed = await _asked(client, "evaluations_list", test_run_id=run["test_run_id"])
        evaluation = await _ended(client, listed["evaluations"][0]["evaluation_id"])
        failed = await _asked(client, "verdicts_list", evaluation_id=evaluation["evaluation_id"], cause="no_call")
        assert {verdict["cause"] for verdict in failed["verdicts"]} == {"no_call"}
        wrong = {
            "loops_get": ({"loop_id": "none"}, "There is no loop"),
            "test_runs_get": ({}, "test_runs_get needs test_run_id"),
            "test_runs_delete": ({"test_run_id": "../loops/x"}, "is no test_run_id"),
            "training_jobs_create": ({"method": "NONE"}, "TRAINING_METHOD_SFT"),
            "test_runs_watch": ({}, "There is no tool"),
        }
        for name, (arguments, sentence) in wrong.items():
            result = await client.call_tool(name, arguments)
            assert result.is_error and sentence in str(result.content), result.content


async def test_tools_say_what_they_change_and_what_they_take(front: Front) -> None:
    async with AsyncGateway(front.url, "") as gateway, Client(mcp_server(gateway)) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert {"loops_create", "loops_get_report", "training_jobs_pause", "training_jobs_resume", "models_list"} <= set(
        tools
    )
    hints = {name: tool.annotations for name, tool in tools.items() if tool.annotations}
    assert hints.keys() == tools.keys()
    assert {name for name, hint in hints.items() if hint.destructive_hint} >= {"test_runs_delete", "loops_cancel"}
    assert hints["loops_plan"].read_only_hint and not hints["loops_create"].read_only_hint
    assert not any(hint.read_only_hint and hint.destructive_hint for hint in hints.values())
    schema = tools["training_jobs_create"].input_schema
    assert schema["properties"]["learning_rate"]["description"] and "request_id" not in schema["properties"]
    assert tools["loops_cancel"].input_schema["required"] == ["loop_id"]


async def test_the_command_speaks_by_standard_input_and_output(front: Front) -> None:
    command = StdioServerParameters(
        command=sys.executable,
        args=["-m", "ui.cli", "mcp", "--read-only", "--url", front.url],
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT}:{ROOT}/proto/gen"},
    )
    async with Client(command) as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
        assert (await _asked(client, "models_list"))["models"]
    assert "test_runs_get" in names and not names & {"test_runs_create", "test_runs_delete", "loops_cancel"}
