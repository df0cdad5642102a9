"""Endpoints, from and to the wire."""

from __future__ import annotations

from drillyard.test_runner.v1 import test_run_pb2

from services.test_runner.domain import Endpoint, ToolMode

_TOOL_MODES = {
    test_run_pb2.TOOL_MODE_UNSPECIFIED: ToolMode.PROFILE,
    test_run_pb2.TOOL_MODE_NATIVE: ToolMode.NATIVE,
    test_run_pb2.TOOL_MODE_PROMPT: ToolMode.PROMPT,
}
_WIRE_MODES = {mode: value for value, mode in _TOOL_MODES.items()}
_DEFAULT_CONCURRENCY = 4


def endpoint_from_proto(message: test_run_pb2.Endpoint) -> Endpoint:
    """Return the endpoint with what is unset as its default."""
    return Endpoint(
        base_url=message.base_url,
        model=message.model,
        api_key_secret=message.api_key_secret,
        # A mode of a later release is none that this one has; the profile's choice is the default.
        tool_mode=_TOOL_MODES.get(message.tool_mode, ToolMode.PROFILE),
        num_ctx=message.num_ctx,
        stop=tuple(message.stop),
        extra_body=message.extra_body,
        max_concurrency=message.max_concurrency or _DEFAULT_CONCURRENCY,
    )


def endpoint_to_proto(endpoint: Endpoint) -> test_run_pb2.Endpoint:
    """Return the endpoint with every default written out."""
    return test_run_pb2.Endpoint(
        base_url=endpoint.base_url,
        model=endpoint.model,
        api_key_secret=endpoint.api_key_secret,
        tool_mode=_WIRE_MODES[endpoint.tool_mode],
        num_ctx=endpoint.num_ctx,
        stop=endpoint.stop,
        extra_body=endpoint.extra_body,
        max_concurrency=endpoint.max_concurrency,
    )
