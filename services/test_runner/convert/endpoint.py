"""Endpoints, from and to the wire."""

from __future__ import annotations

from drillyard.test_runner.v1 import test_run_pb2

from services.chassis.wire import from_message, to_message
from services.test_runner.domain import Endpoint, ToolMode

_TOOL_MODES = {
    test_run_pb2.TOOL_MODE_UNSPECIFIED: ToolMode.PROFILE,
    test_run_pb2.TOOL_MODE_NATIVE: ToolMode.NATIVE,
    test_run_pb2.TOOL_MODE_PROMPT: ToolMode.PROMPT,
}
_WIRE_MODES = {mode: value for value, mode in _TOOL_MODES.items()}


def endpoint_from_proto(message: test_run_pb2.Endpoint) -> Endpoint:
    """Return the endpoint with what is unset as its default."""
    return from_message(Endpoint, message, tool_mode=_TOOL_MODES[message.tool_mode])


def endpoint_to_proto(endpoint: Endpoint) -> test_run_pb2.Endpoint:
    """Return the endpoint with every default written out."""
    return to_message(endpoint, test_run_pb2.Endpoint, tool_mode=_WIRE_MODES[endpoint.tool_mode])
