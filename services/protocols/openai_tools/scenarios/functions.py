"""The invented functions of scenarios, beside those of the built-in suite and the pool."""

from collections.abc import Mapping
from types import MappingProxyType

from services.protocols.cases import Effect
from services.protocols.openai_tools.tools import DATE, TEXT, TEXTS, TIME, TOOLS, function

_COUNT = {"type": "integer", "minimum": 1}
_AMOUNT = {"type": "number", "exclusiveMinimum": 0}
_CURRENCY = {"type": "string", "enum": ["EUR", "USD", "GBP", "CHF", "JPY"]}
_STATUS = {"type": "string", "enum": ["pending", "in_progress", "completed"]}


def _id(letters: str) -> Mapping[str, object]:
    return {"type": "string", "pattern": f"^{letters}-[0-9]{{4}}$"}


def _enum(*values: str) -> Mapping[str, object]:
    return {"type": "string", "enum": list(values)}


_ITEM = {
    "type": "object",
    "properties": {"text": TEXT, "status": _STATUS},
    "required": ["text", "status"],
    "additionalProperties": False,
}
_FIELD = _enum("email", "phone", "street", "city")

_NEW = (
    function("search_notes", "Names of the notes that hold a text.", {"query": TEXT}),
    function("read_note", "Text of a note.", {"name": TEXT}),
    function(
        "edit_note",
        "Replaces a piece of a note. The old text must stand in it exactly once.",
        {"name": TEXT, "old_text": TEXT, "new_text": TEXT},
    ),
    function("write_note", "Writes a whole note, new or over the old one.", {"name": TEXT, "text": TEXT}),
    function("find_pages", "Titles of the wiki pages that hold a text.", {"text": TEXT}),
    function("get_page", "Text of a wiki page.", {"title": TEXT}),
    function(
        "replace_in_page",
        "Puts a new piece for the one place of an old piece of a wiki page.",
        {"title": TEXT, "find": TEXT, "replace_with": TEXT},
    ),
    function("publish_page", "Publishes a wiki page with this body.", {"title": TEXT, "body": TEXT}),
    function("save_snippet", "Saves a piece of code.", {"file_name": TEXT, "code": TEXT}),
    function("set_tasks", "Replaces the list of tasks.", {"tasks": {"type": "array", "items": _ITEM}}),
    function("ask_user", "Asks the person a question.", {"question": TEXT}),
    function("find_customer", "Looks a customer up by name.", {"name": TEXT}),
    function("update_customer", "Changes a field.", {"customer_id": _id("C"), "field": _FIELD, "value": TEXT}),
    function("get_invoice", "An invoice with its amount.", {"invoice_id": _id("I")}),
    function(
        "refund_invoice",
        "Pays money of an invoice back.",
        {"invoice_id": _id("I"), "amount": _AMOUNT, "currency": _CURRENCY},
        reason=_enum("damaged", "late", "wrong_item", "goodwill"),
    ),
    function(
        "create_ticket",
        "Opens a ticket.",
        {"title": TEXT, "priority": _enum("low", "normal", "urgent")},
        tags=TEXTS,
        due=DATE,
    ),
    function("find_tickets", "Tickets by words.", {"query": TEXT}, status=_enum("open", "waiting", "closed")),
    function("assign_ticket", "Gives a ticket to somebody.", {"ticket_id": _id("T"), "assignee": TEXT}),
    function(
        "close_ticket",
        "Closes a ticket.",
        {"ticket_id": _id("T"), "resolution": _enum("fixed", "duplicate", "rejected")},
    ),
    function("get_stock", "How many pieces each warehouse has.", {"sku": _id("S")}),
    function(
        "move_stock",
        "Moves pieces from one warehouse to another.",
        {"sku": _id("S"), "from_warehouse": TEXT, "to_warehouse": TEXT, "quantity": _COUNT},
    ),
    function(
        "set_price", "Sets a price.", {"sku": _id("S"), "amount": _AMOUNT, "currency": _CURRENCY}, valid_from=DATE
    ),
    function("find_trains", "Trains of a day.", {"origin": TEXT, "destination": TEXT, "date": DATE}),
    function("book_train", "Books seats.", {"train_id": TEXT, "passengers": TEXTS}, seat=_enum("window", "aisle")),
    function("find_rooms", "Free meeting rooms.", {"date": DATE, "time": TIME, "seats": _COUNT}),
    function("book_room", "Books a meeting room.", {"room_id": TEXT, "date": DATE, "time": TIME}),
    function("post_message", "Posts into a chat channel.", {"channel": TEXT, "text": TEXT}, thread=TEXT),
    function("run_query", "Runs SQL.", {"sql": TEXT}, database=TEXT),
    function("send_webhook", "Posts a body of text to an address.", {"url": TEXT, "payload": TEXT}),
)

FUNCTIONS: Mapping[str, Mapping[str, object]] = MappingProxyType(
    {**TOOLS, **{str(tool["function"]["name"]): tool for tool in _NEW}}  # type: ignore[index]
)

EFFECTS: Mapping[str, Effect] = MappingProxyType(
    {
        "search_notes": Effect("search", {"text": "query"}),
        "read_note": Effect("read", {"path": "name"}),
        "edit_note": Effect("replace", {"path": "name", "old": "old_text", "new": "new_text"}),
        "write_note": Effect("write", {"path": "name", "text": "text"}),
        "find_pages": Effect("search", {"text": "text"}),
        "get_page": Effect("read", {"path": "title"}),
        "replace_in_page": Effect("replace", {"path": "title", "old": "find", "new": "replace_with"}),
        "publish_page": Effect("write", {"path": "title", "text": "body"}),
        "save_snippet": Effect("write", {"path": "file_name", "text": "code"}),
        "set_tasks": Effect("checklist", {"items": "tasks"}),
    }
)

NOTHING_FOUND: Mapping[str, str] = MappingProxyType(
    dict.fromkeys(
        ("find_customer", "get_invoice", "find_tickets", "get_stock", "find_trains", "find_rooms", "search_products"),
        '{"found": []}',
    )
)
"""What a look-up answers to arguments that the case says nothing of."""
