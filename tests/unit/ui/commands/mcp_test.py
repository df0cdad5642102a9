"""The tools of `drillyard mcp`, by the protocol's own client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from mcp import Client

from ui.cli.connection import Document, GatewayError
from ui.cli.connection.async_gateway import AsyncGateway
from ui.cli.connection.mcp_server import mcp_server
from ui.cli.connection.requests import Request


class Recording(AsyncGateway):
    """Keeps what it is asked, and knows no loop."""

    def __init__(self) -> None:
        super().__init__("http://gateway.test", "")
        self.requests: list[Request] = []

    async def request(self, request: Request) -> Document:
        self.requests.append(request)
        if "/loops/" in request.target:
            raise GatewayError("NOT_FOUND", "There is no loop 'x'.", "List the loops.", 404)
        return {"models": [{"model_id": "a", "description": "", "num_versions": 0}], "next_page_token": ""}


@pytest.fixture
async def gateway() -> AsyncIterator[Recording]:
    async with Recording() as gateway:
        yield gateway


async def test_tools_say_what_they_take_and_what_they_change(gateway: Recording) -> None:
    async with Client(mcp_server(gateway)) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    verbs = {
        "models_list",
        "test_runs_create",
        "verdicts_list",
        "loops_get_report",
        "training_jobs_pause",
        "loops_create",
    }
    assert verbs <= tools.keys()
    hints: dict[str, Any] = {name: tool.annotations for name, tool in tools.items()}
    assert all(hint.destructive_hint for name, hint in hints.items() if "_delete" in name or "_cancel" in name)
    assert not any(hint.read_only_hint and hint.destructive_hint for hint in hints.values())
    assert hints["loops_plan"].read_only_hint and not hints["loops_create"].read_only_hint
    schema = tools["training_jobs_create"].input_schema
    assert (
        schema["properties"]["learning_rate"].items() >= {"maximum": 1.0, "description": "Peak learning rate."}.items()
    )
    assert "request_id" not in schema["properties"]
    assert tools["loops_cancel"].input_schema["required"] == ["loop_id"]
    async with Client(mcp_server(gateway, read_only=True)) as client:
        left = {tool.name for tool in (await client.list_tools()).tools}
    assert left == {name for name, hint in hints.items() if hint.read_only_hint}


async def test_a_call_asks_the_route_and_a_mistake_is_a_sentence(gateway: Recording) -> None:
    async with Client(mcp_server(gateway)) as client:
        listed = await client.call_tool("models_list", {})
        assert listed.structured_content == {"models": [{"model_id": "a", "num_versions": 0}]}
        await client.call_tool("test_runs_create", {"model_version_id": "m"})
        wrong = {
            "loops_get": ({"loop_id": "x"}, "There is no loop 'x'. List the loops."),
            "test_runs_get": ({}, "test_runs_get needs test_run_id."),
            "test_runs_delete": ({"test_run_id": "../loops/x"}, "is no test_run_id"),
            "test_runs_watch": ({}, "There is no tool 'test_runs_watch'."),
        }
        for name, (arguments, sentence) in wrong.items():
            result = await client.call_tool(name, arguments)
            assert result.is_error and sentence in str(result.content[0].model_dump()["text"])
    asked, created, _ = gateway.requests
    assert (asked.method, asked.target) == ("GET", "/api/v1/models?page_size=10")
    assert created.is_repeatable and created.target == "/api/v1/test-runs"
