"""`drillyard mcp`: the product's verbs as tools of the Model Context Protocol, made from the table of routes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ui.cli.connection.async_gateway import AsyncGateway
from ui.cli.connection.errors import GatewayError
from ui.cli.connection.requests import Request
from ui.cli.connection.resources import names_of, request_of
from ui.cli.options import Common
from ui.cli.output import errors_shown

if TYPE_CHECKING:
    from mcp.server import Server
    from mcp_types import Tool

_NOUNS = (
    "models",
    "model_versions",
    "imports",
    "test_suites",
    "test_runs",
    "transcripts",
    "evaluations",
    "verdicts",
    "comparisons",
    "datasets",
    "training_jobs",
    "loops",
    "deployments",
    "aliases",
)
# They change nothing, whatever their verb of HTTP.
_READING = ("check", "compare", "diagnose", "get", "judge", "list", "plan", "preflight", "validate")
# What they end, remove or replace is not had back by another call.
_DESTRUCTIVE = ("cancel", "collect", "delete", "rollback", "set")
# The client has one of its own for each call.
_LEFT_OUT = ("request_id",)
_PAGE_SIZE = 10
_RETRY_SECONDS = 20.0
_MEND = "Install it with `pip install 'drillyard[mcp]'`."
_INSTRUCTIONS = (
    "Drillyard tests a language model on a fixed suite, says why it fails, and trains it on what failed. Order: "
    "model_versions_list and test_suites_list; test_runs_create; evaluations_list with its test_run_id until the job's "
    "state is final; verdicts_list says why cases fail, transcripts_get what a model wrote; loops_create improves it, "
    "training_jobs_create trains on a dataset alone. Jobs go on by themselves: ask their get for progress."
)


@dataclass(frozen=True)
class Verb:
    """One tool, and the route that it asks."""

    name: str
    route: str
    sentence: str
    rpc: str

    @property
    def method(self) -> str:
        """The first word of what it does, such as "cancel"."""
        return self.name.rpartition(".")[2].partition("_")[0]


def mcp(
    common: Common,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Offer only tools that change nothing.", show_default=False)
    ] = False,
) -> None:
    """Serve an assistant the gateway's verbs as MCP tools, by standard input and output."""
    with errors_shown(as_json=common.as_json):
        try:
            from mcp.server.stdio import stdio_server
        except ImportError:
            raise GatewayError("FAILED_PRECONDITION", "The package mcp is not there.", _MEND) from None

        async def serve() -> None:
            async with AsyncGateway(common.url, common.api_key, retry_seconds=_RETRY_SECONDS) as gateway:
                server = mcp_server(gateway, read_only=read_only)
                async with stdio_server() as (read, write):
                    await server.run(read, write, server.create_initialization_options())

        asyncio.run(serve())


def mcp_server(gateway: AsyncGateway, *, read_only: bool = False) -> Server[Any]:
    """Return a server whose tools ask a gateway; with `read_only` it has those that change nothing."""
    import mcp_types as types
    from mcp.server import Server

    verbs = {name: verb for name, verb in _verbs().items() if not read_only or verb.method in _READING}
    tools = [_tool(verb) for verb in verbs.values()]

    async def list_tools(_context: Any, _params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        return types.ListToolsResult(tools=tools)

    async def call_tool(_context: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        try:
            if params.name not in verbs:
                raise GatewayError("NOT_FOUND", f"There is no tool {params.name!r}.", "List the tools.")
            answer = _without_empty(await gateway.request(_request(verbs[params.name], params.arguments or {})))
        except GatewayError as error:
            return types.CallToolResult(content=[types.TextContent(text=str(error))], is_error=True)
        text = types.TextContent(text=json.dumps(answer, ensure_ascii=False))
        return types.CallToolResult(content=[text], structured_content=answer)

    return Server(
        "drillyard",
        version=version("drillyard"),
        instructions=_INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


def _verbs() -> dict[str, Verb]:
    """Return the tools by their names: RPCs, and what is read by an id alone."""
    table = json.loads((files("drillyard") / "routes.json").read_text(encoding="utf-8"))
    return {
        f"{entry['noun']}_{entry['name']}": Verb(
            f"{entry['noun']}.{entry['name']}", entry["route"], entry["sentence"], entry["rpc"]
        )
        for entry in table
        if entry["noun"] in _NOUNS and (entry["kind"] in ("call", "list") or _is_read_by_id(entry))
    }


def _is_read_by_id(entry: Mapping[str, str]) -> bool:
    return entry["kind"] == "query" and entry["route"].startswith("GET ") and "{" in entry["route"]


def _tool(verb: Verb) -> Tool:
    import mcp_types as types

    is_reading, is_destructive = verb.method in _READING, verb.method in _DESTRUCTIVE
    return types.Tool(
        name=verb.name.replace(".", "_"),
        description=verb.sentence,
        input_schema=_schema(verb),
        annotations=types.ToolAnnotations(
            read_only_hint=is_reading, destructive_hint=is_destructive and not is_reading, open_world_hint=False
        ),
    )


def _schema(verb: Verb) -> dict[str, Any]:
    """Return the JSON schema of a tool's arguments: the fields of the request with their help, bounds and choices."""
    from services.chassis.wire.fields import rules_of
    from ui.shared.rpc import METHODS, body_of

    names = names_of(verb.route)
    if not verb.rpc:
        return {"type": "object", "properties": {name: {"type": "string"} for name in names}, "required": names}
    schema = body_of(METHODS[verb.rpc].input_type, _LEFT_OUT).model_json_schema()
    fields = METHODS[verb.rpc].input_type.fields
    required = [field.name for field in fields if field.name in names or rules_of(field).required]
    return {**schema, "required": [name for name in required if name in schema["properties"]]}


def _request(verb: Verb, arguments: Mapping[str, Any]) -> Request:
    missing = [name for name in names_of(verb.route) if name not in arguments]
    if missing:
        name = verb.name.replace(".", "_")
        raise GatewayError("INVALID_ARGUMENT", f"{name} needs {missing[0]}.", "Give it; a list tells which there are.")
    page = {"page_size": _PAGE_SIZE} if verb.method == "list" and verb.rpc else {}
    new = {"request_id": None} if verb.method == "create" else {}
    return request_of(verb.route, {**new, **page, **arguments})


def _without_empty(value: Any) -> Any:
    """Return a document without what says nothing, which an assistant would read for nothing."""
    if isinstance(value, dict):
        entries = {name: _without_empty(item) for name, item in value.items()}
        return {name: item for name, item in entries.items() if item not in ("", [], {}, None)}
    return [_without_empty(item) for item in value] if isinstance(value, list) else value
