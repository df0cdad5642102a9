"""Tasks of one answer: which function, which arguments, how many calls."""

from services.protocols.material.draw import Draw
from services.protocols.material.scenario import Build, Draft, Step, kinds_of
from services.protocols.openai_tools.scenarios.calls import (
    BUILDS,
    Arguments,
    Values,
    call,
    drawn,
    kind_of_call,
    number,
    shown,
)
from services.protocols.openai_tools.scenarios.texts import any_date, any_time, number_of

_TICKET: Values = {"title": "fault", "priority": ("low", "normal", "urgent")}
_ASSIGNMENT: Values = {"ticket_id": "ticket_id", "assignee": "first"}
_CLOSING: Values = {"ticket_id": "ticket_id", "resolution": ("fixed", "duplicate", "rejected")}
_PRICE: Values = {"sku": "sku", "amount": number("price"), "currency": ("EUR", "USD", "CHF")}
_BOOKING: Values = {"train_id": "train_id", "passengers": lambda draw: draw.several("customer", 2)}
_CITY: Values = {"customer_id": "customer_id", "field": lambda _: "city", "value": "city"}
_ADDRESS: Values = {"customer_id": "customer_id", "field": lambda _: "email", "value": "person"}
_ROOM: Values = {"room_id": "room_id", "date": any_date, "time": any_time}


def _move(draw: Draw) -> Arguments:
    here, there = draw.several("city", 2)
    quantity = draw.random.randrange(2, 200)
    return {"sku": draw.word("sku"), "from_warehouse": here, "to_warehouse": there, "quantity": quantity}


def trains(draw: Draw) -> Arguments:
    """Draw two places and a day."""
    origin, destination = draw.several("city", 2)
    return {"origin": origin, "destination": destination, "date": any_date(draw)}


def message(draw: Draw) -> Arguments:
    """Draw a channel and what is to be said in it."""
    return {"channel": draw.word("channel"), "text": draw.word("message")}


def refund(draw: Draw) -> Arguments:
    """Draw an invoice and a sum."""
    currency = draw.pick(("EUR", "USD", "GBP"))
    return {"invoice_id": draw.word("invoice_id"), "amount": number_of(draw, "price"), "currency": currency}


def rooms(draw: Draw) -> Arguments:
    """Draw a time, and how many people come."""
    return {"date": any_date(draw), "time": any_time(draw), "seats": draw.random.randrange(3, 30)}


NEW_TASKS: dict[str, Build] = {
    "ticket": call("create_ticket", _TICKET),
    "assign": call("assign_ticket", _ASSIGNMENT),
    "close": call("close_ticket", _CLOSING),
    "tickets": call("find_tickets", {"query": "matter"}),
    "stock": call("get_stock", {"sku": "sku"}),
    "move": call("move_stock", _move),
    "price": call("set_price", _PRICE),
    "trains": call("find_trains", trains),
    "book_train": call("book_train", _BOOKING),
    "message": call("post_message", message),
    "refund": call("refund_invoice", refund),
    "invoice": call("get_invoice", {"invoice_id": "invoice_id"}),
    "customer": call("find_customer", {"name": "customer"}),
    "moved_away": call("update_customer", _CITY, withheld=("find_customer",)),
    "rooms": call("find_rooms", rooms, withheld=("book_room", "create_event")),
    "book_room": call("book_room", _ROOM, withheld=("find_rooms", "create_event")),
    "notes": call("search_notes", {"query": "item"}, withheld=("find_pages", "find_files")),
    "read_note": call("read_note", {"name": "note_name"}, withheld=("search_notes",)),
    "pages": call("find_pages", {"text": "item"}, withheld=("search_notes", "find_files")),
    "page": call("get_page", {"title": "page_title"}, withheld=("find_pages",)),
}
_SEVERAL = (("get_forecast", "two"), ("place_order", "two"), ("create_event", "and_mail"))
_PLAIN = tuple((tool, next(iter(builds))) for tool, builds in BUILDS.items())
_EXACT = tuple(
    (tool, name) for tool, builds in BUILDS.items() for name in builds if (tool, name) not in (*_PLAIN, *_SEVERAL)
)

TOOL_CHOICE = kinds_of("tool_choice", NEW_TASKS) | {f"{tool}.{name}": kind_of_call(tool, name) for tool, name in _PLAIN}

EXACT_ARGUMENTS = {f"{tool}.{name}": kind_of_call(tool, name) for tool, name in _EXACT} | kinds_of(
    "exact_arguments",
    {
        "ticket_tags": call("create_ticket", {**_TICKET, "tags": lambda draw: draw.several("tag", 2), "due": any_date}),
        "refund_reason": call(
            "refund_invoice", lambda draw: {**refund(draw), "reason": draw.pick(("damaged", "late", "goodwill"))}
        ),
        "waiting": call("find_tickets", {"query": "matter", "status": lambda _: "waiting"}),
        "thread": call("post_message", lambda draw: {**message(draw), "thread": draw.word("ticket_id")}),
        "price_from": call("set_price", {**_PRICE, "valid_from": any_date}),
        "window": call("book_train", {**_BOOKING, "seat": ("window", "aisle")}),
        "address": call("update_customer", _ADDRESS, withheld=("find_customer",)),
        "database": call(
            "run_query",
            {"sql": lambda draw: f"SELECT {draw.word('column')} FROM {draw.word('table')}", "database": "database"},
        ),
    },
)


def _twice(make: Build) -> Build:
    """Return what draws two tasks of one call, the second's values in slots that end in 2."""

    def build(draw: Draw) -> Draft:
        (first,), (second,) = make(draw).turns[0], make(draw).turns[0]
        while first.arguments == second.arguments:
            (second,) = make(draw).turns[0]
        slots = shown(dict(first.arguments)) | {
            f"{name}2": value for name, value in shown(dict(second.arguments)).items()
        }
        return Draft(slots=slots, turns=((first, second),))

    return build


def _assign_and_close(draw: Draw) -> Draft:
    given, closed = drawn(draw, _ASSIGNMENT), drawn(draw, _CLOSING)
    slots = {**given, "ticket_id2": closed["ticket_id"], "resolution": closed["resolution"]}
    return Draft(slots=slots, turns=((Step("assign_ticket", given), Step("close_ticket", closed)),))


def _three_messages(draw: Draw) -> Draft:
    text, channels = draw.word("message"), draw.several("channel", 3)
    steps = tuple(Step("post_message", {"channel": channel, "text": text}) for channel in channels)
    return Draft(slots={"text": text, "channels": ", ".join(channels)}, turns=(steps,))


SEVERAL_CALLS = {f"{tool}.{name}": kind_of_call(tool, name) for tool, name in _SEVERAL} | kinds_of(
    "several_calls",
    {
        "two_stocks": _twice(NEW_TASKS["stock"]),
        "two_prices": _twice(NEW_TASKS["price"]),
        "two_trains": _twice(NEW_TASKS["trains"]),
        "assign_and_close": _assign_and_close,
        "three_messages": _three_messages,
    },
)
