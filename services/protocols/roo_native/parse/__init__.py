"""From a function call as written to a typed one."""

from services.protocols.roo_native.parse.calls import CallError, McpCall, TypedCall, parse_call
from services.protocols.roo_native.parse.text_form import (
    answer_from_text,
    text_of_call,
    text_outside_calls,
    with_calls_beside,
    with_calls_in_text,
)

__all__ = [
    "CallError",
    "McpCall",
    "TypedCall",
    "answer_from_text",
    "parse_call",
    "text_of_call",
    "text_outside_calls",
    "with_calls_beside",
    "with_calls_in_text",
]
