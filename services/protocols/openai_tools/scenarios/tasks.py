"""Tasks of one answer: which function, which arguments, how many calls."""

from __future__ import annotations

from services.protocols.material.draw import Draw
from services.protocols.material.scenario import Build, Draft, Step, kinds_of
from services.protocols.openai_tools.scenarios.calls import BUILDS, Arguments, call, kind_of_call, shown
from services.protocols.openai_tools.scenarios.texts import any_date, any_time, number_of


def _ticket(draw: Draw) -> Arguments:
    return {"title": draw.word("fault"), "priority": draw.pick(("low", "normal", "urgent"))}


def _assignment(draw: Draw) -> Arguments:
    return {"ticket_id": draw.word("ticket_id"), "assignee": draw.word("first")}


def _closing(draw: Draw) -> Arguments:
    return {"ticket_id": draw.word("ticket_id"), "resolution": draw.pick(("fixed", "duplicate", "rejected"))}


def _move(draw: Draw) -> Arguments:
    here, there = draw.several("city", 2)
    quantity = draw.random.randrange(2, 200)
    return {"sku": draw.word("sku"), "from_warehouse": here, "to_warehouse": there, "quantity": quantity}


def _price(draw: Draw) -> Arguments:
    return {"sku": draw.word("sku"), "amount": number_of(draw, "price"), "currency": draw.pick(("EUR", "USD", "CHF"))}


def trains(draw: Draw) -> Arguments:
    """Draw two places and a day."""
    origin, destination = draw.several("city", 2)
    return {"origin": origin, "destination": destination, "date": any_date(draw)}


def _booking(draw: Draw) -> Arguments:
    return {"train_id": draw.word("train_id"), "passengers": draw.several("customer", 2)}


def message(draw: Draw) -> Arguments:
    """Draw a channel and what is to be said in it."""
    return {"channel": draw.word("channel"), "text": draw.word("message")}


def refund(draw: Draw) -> Arguments:
    """Draw an invoice and a sum."""
    currency = draw.pick(("EUR", "USD", "GBP"))
    return {"invoice_id": draw.word("invoice_id"), "amount": number_of(draw, "price"), "currency": currency}


def _customer(draw: Draw) -> Arguments:
    return {"customer_id": draw.word("customer_id"), "field": "city", "value": draw.word("city")}


def _address(draw: Draw) -> Arguments:
    return {"customer_id": draw.word("customer_id"), "field": "email", "value": draw.word("person")}


def rooms(draw: Draw) -> Arguments:
    """Draw a time, and how many people come."""
    return {"date": any_date(draw), "time": any_time(draw), "seats": draw.random.randrange(3, 30)}


def _room(draw: Draw) -> Arguments:
    return {"room_id": draw.word("room_id"), "date": any_date(draw), "time": any_time(draw)}


NEW_TASKS: dict[str, Build] = {
    "ticket": call("create_ticket", _ticket),
    "assign": call("assign_ticket", _assignment),
    "close": call("close_ticket", _closing),
    "tickets": call("find_tickets", lambda draw: {"query": draw.word("matter")}),
    "stock": call("get_stock", lambda draw: {"sku": draw.word("sku")}),
    "move": call("move_stock", _move),
    "price": call("set_price", _price),
    "trains": call("find_trains", trains),
    "book_train": call("book_train", _booking),
    "message": call("post_message", message),
    "refund": call("refund_invoice", refund),
    "invoice": call("get_invoice", lambda draw: {"invoice_id": draw.word("invoice_id")}),
    "customer": call("find_customer", lambda draw: {"name": draw.word("customer")}),
    "moved_away": call("update_customer", _customer, withheld=("find_customer",)),
    "rooms": call("find_rooms", rooms, withheld=("book_room", "create_event")),
    "book_room": call("book_room", _room, withheld=("find_rooms", "create_event")),
    "notes": call("search_notes", lambda draw: {"query": draw.word("item")}, withheld=("find_pages", "find_files")),
    "read_note": call("read_note", lambda draw: {"name": draw.word("note_name")}, withheld=("search_notes",)),
    "pages": call("find_pages", lambda draw: {"text": draw.word("item")}, withheld=("search_notes", "find_files")),
    "page": call("get_page", lambda draw: {"title": draw.word("page_title")}, withheld=("find_pages",)),
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
        "ticket_tags": call(
            "create_ticket", lambda draw: {**_ticket(draw), "tags": draw.several("tag", 2), "due": any_date(draw)}
        ),
        "refund_reason": call(
            "refund_invoice", lambda draw: {**refund(draw), "reason": draw.pick(("damaged", "late", "goodwill"))}
        ),
        "waiting": call("find_tickets", lambda draw: {"query": draw.word("matter"), "status": "waiting"}),
        "thread": call("post_message", lambda draw: {**message(draw), "thread": draw.word("ticket_id")}),
        "price_from": call("set_price", lambda draw: {**_price(draw), "valid_from": any_date(draw)}),
        "window": call("book_train", lambda draw: {**_booking(draw), "seat": draw.pick(("window", "aisle"))}),
        "address": call("update_customer", _address, withheld=("find_customer",)),
        "database": call(
            "run_query",
            lambda draw: {
                "sql": f"SELECT {draw.word('column')} FROM {draw.word('table')}",
                "database": draw.word("database"),
            },
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
    given, closed = _assignment(draw), _closing(draw)
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
