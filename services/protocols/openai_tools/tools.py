"""The invented tools of the built-in suite and the pool."""

from collections.abc import Mapping
from types import MappingProxyType

VERSION = "1"
NO_CALL = "no_call"
"""Stands for the tool where no call is due."""
NO_CALL_LABELS = (NO_CALL, "no_call_question", "no_call_report", "no_call_refusal")
"""The same, told apart by what the text is for: talk, a question, what was done, what cannot be done."""

TEXT = {"type": "string"}
TEXTS = {"type": "array", "items": TEXT, "minItems": 1}
DATE = {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$", "description": "YYYY-MM-DD"}
TIME = {"type": "string", "pattern": "^[0-9]{2}:[0-9]{2}$", "description": "HH:MM"}
_LEVEL = {"type": "integer", "minimum": 0, "maximum": 255}


def function(name: str, description: str, required: Mapping[str, object], **optional: object) -> Mapping[str, object]:
    """Return a function's definition in OpenAI's form; it takes the named parameters and no others."""
    parameters = {
        "type": "object",
        "properties": {**required, **optional},
        "required": list(required),
        "additionalProperties": False,
    }
    definition = {"name": name, "description": description, "parameters": parameters}
    return MappingProxyType({"type": "function", "function": definition})


_ALL = (
    function(
        "get_forecast",
        "Weather forecast of a place.",
        {"city": TEXT, "days": {"type": "integer", "minimum": 1, "maximum": 14}},
        unit={"type": "string", "enum": ["celsius", "fahrenheit"], "default": "celsius"},
    ),
    function(
        "create_event",
        "Puts an event into the calendar.",
        {"title": TEXT, "date": DATE, "time": TIME},
        attendees={"type": "array", "items": TEXT},
    ),
    function("list_events", "Events of one day.", {"date": DATE}, calendar=TEXT),
    function(
        "find_files",
        "Files whose names match a glob.",
        {"pattern": TEXT, "folder": TEXT},
        max_results={"type": "integer", "minimum": 1, "default": 100},
    ),
    function("rename_file", "Gives a file a new name.", {"path": TEXT, "new_name": TEXT}),
    function(
        "search_products",
        "Products of the shop.",
        {"query": TEXT, "max_price": {"type": "number", "exclusiveMinimum": 0}},
        in_stock={"type": "boolean", "default": False},
    ),
    function(
        "place_order",
        "Orders a product.",
        {"product_id": {"type": "string", "pattern": "^P-[0-9]{4}$"}, "quantity": {"type": "integer", "minimum": 1}},
        gift_wrap={"type": "boolean", "default": False},
    ),
    function("send_mail", "Sends a mail.", {"to": TEXTS, "subject": TEXT, "body": TEXT}),
    function(
        "convert_units", "Converts a measured value.", {"value": {"type": "number"}, "from_unit": TEXT, "to_unit": TEXT}
    ),
    function("set_timer", "Starts a timer.", {"minutes": {"type": "integer", "minimum": 1}, "label": TEXT}),
    function(
        "set_light",
        "Sets a lamp's colour.",
        {
            "room": TEXT,
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
