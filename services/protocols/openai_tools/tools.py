"""The invented tools of the built-in suite and the pool."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

VERSION = "1"
NO_CALL = "no_call"
"""Stands for the tool where no call is due."""

_TEXT = {"type": "string"}
_TEXTS = {"type": "array", "items": _TEXT, "minItems": 1}
_DATE = {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$", "description": "YYYY-MM-DD"}
_TIME = {"type": "string", "pattern": "^[0-9]{2}:[0-9]{2}$", "description": "HH:MM"}
_LEVEL = {"type": "integer", "minimum": 0, "maximum": 255}


def _tool(name: str, description: str, required: Mapping[str, object], **optional: object) -> Mapping[str, object]:
    parameters = {
        "type": "object",
        "properties": {**required, **optional},
        "required": list(required),
        "additionalProperties": False,
    }
    function = {"name": name, "description": description, "parameters": parameters}
    return MappingProxyType({"type": "function", "function": function})


_ALL = (
    _tool(
        "get_forecast",
        "Weather forecast of a place.",
        {"city": _TEXT, "days": {"type": "integer", "minimum": 1, "maximum": 14}},
        unit={"type": "string", "enum": ["celsius", "fahrenheit"], "default": "celsius"},
    ),
    _tool(
        "create_event",
        "Puts an event into the calendar.",
        {"title": _TEXT, "date": _DATE, "time": _TIME},
        attendees={"type": "array", "items": _TEXT},
    ),
    _tool("list_events", "Events of one day.", {"date": _DATE}, calendar=_TEXT),
    _tool(
        "find_files",
        "Files whose names match a glob.",
        {"pattern": _TEXT, "folder": _TEXT},
        max_results={"type": "integer", "minimum": 1, "default": 100},
    ),
    _tool("rename_file", "Gives a file a new name.", {"path": _TEXT, "new_name": _TEXT}),
    _tool(
        "search_products",
        "Products of the shop.",
        {"query": _TEXT, "max_price": {"type": "number", "exclusiveMinimum": 0}},
        in_stock={"type": "boolean", "default": False},
    ),
    _tool(
        "place_order",
        "Orders a product.",
        {
            "product_id": {"type": "string", "pattern": "^P-[0-9]{4}$"},
            "quantity": {"type": "integer", "minimum": 1},
        },
        gift_wrap={"type": "boolean", "default": False},
    ),
    _tool("send_mail", "Sends a mail.", {"to": _TEXTS, "subject": _TEXT, "body": _TEXT}),
    _tool(
        "convert_units",
        "Converts a measured value.",
        {"value": {"type": "number"}, "from_unit": _TEXT, "to_unit": _TEXT},
    ),
    _tool("set_timer", "Starts a timer.", {"minutes": {"type": "integer", "minimum": 1}, "label": _TEXT}),
    _tool(
        "set_light",
        "Sets a lamp's colour.",
        {
            "room": _TEXT,
            "color": {
                "type": "object",
                "properties": {"red": _LEVEL, "green": _LEVEL, "blue": _LEVEL},
                "required": ["red", "green", "blue"],
                "additionalProperties": False,
            },
        },
    ),
)

TOOLS: Mapping[str, Mapping[str, object]] = MappingProxyType(
    {str(tool["function"]["name"]): tool for tool in _ALL}  # type: ignore[index]
)
DRILLED_TOOLS = (*TOOLS, NO_CALL)
"""What the built-in suite and the pool cover, each in equal parts."""
