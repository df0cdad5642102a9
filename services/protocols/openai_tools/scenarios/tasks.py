"""Tasks of one answer: which function, which arguments, how many calls."""

from __future__ import annotations

from collections.abc import Callable

from services.protocols.openai_tools.authoring.draw import Draw
from services.protocols.openai_tools.authoring.skills import SKILLS
from services.protocols.openai_tools.scenarios.nouns import Build, Draft, Kind, Step
from services.protocols.openai_tools.scenarios.texts import several
from services.protocols.openai_tools.tools import NO_CALL

Arguments = dict[str, object]


def one(tool: str, make: Callable[[Draw], Arguments], *, withheld: tuple[str, ...] = ()) -> Build:
    """Return what draws the task of one call, whose wording shows all arguments."""

    def build(draw: Draw) -> Draft:
        arguments = make(draw)
        return Draft(slots=shown(arguments), turns=((Step(tool, arguments),),), withheld=withheld)

    return build


def shown(arguments: Arguments) -> dict[str, object]:
    """Return the arguments as a wording shows them: the entries of a list joined."""
    return {name: " and ".join(value) if isinstance(value, list) else value for name, value in arguments.items()}


def skill(tool: str, name: str) -> Kind:
    """Return the kind that a skill of the pool is."""

    def build(draw: Draw) -> Draft:
        drawn = SKILLS[tool][name](draw)
        slots = {**drawn.shown, **shown(drawn.calls[0][1])}
        return Draft(slots=shown(slots), turns=(tuple(Step(*call) for call in drawn.calls),))

    return Kind(build, (tool, name))


def _ticket(draw: Draw) -> Arguments:
    return {"title": draw.word("fault"), "priority": draw.pick(("low", "normal", "urgent"))}


def _assignment(draw: Draw) -> Arguments:
    return {"ticket_id": draw.word("ticket_id"), "assignee": draw.word("first")}


def _closing(draw: Draw) -> Arguments:
    return {"ticket_id": draw.word("ticket_id"), "resolution": draw.pick(("fixed", "duplicate", "rejected"))}


def _move(draw: Draw) -> Arguments:
    here, there = draw.two("city")
    quantity = draw.random.randrange(2, 200)
    return {"sku": draw.word("sku"), "from_warehouse": here, "to_warehouse": there, "quantity": quantity}


def _price(draw: Draw) -> Arguments:
    return {"sku": draw.word("sku"), "amount": draw.number("price"), "currency": draw.pick(("EUR", "USD", "CHF"))}


def trains(draw: Draw) -> Arguments:
    """Draw two places and a day."""
    origin, destination = draw.two("city")
    return {"origin": origin, "destination": destination, "date": draw.date()}


def _booking(draw: Draw) -> Arguments:
    return {"train_id": draw.word("train_id"), "passengers": several(draw, "customer", 2)}


def message(draw: Draw) -> Arguments:
    """Draw a channel and what is to be said in it."""
    return {"channel": draw.word("channel"), "text": draw.word("message")}


def refund(draw: Draw) -> Arguments:
    """Draw an invoice and a sum."""
    currency = draw.pick(("EUR", "USD", "GBP"))
    return {"invoice_id": draw.word("invoice_id"), "amount": draw.number("price"), "currency": currency}


def _customer(draw: Draw) -> Arguments:
    return {"customer_id": draw.word("customer_id"), "field": "city", "value": draw.word("city")}


def _address(draw: Draw) -> Arguments:
    return {"customer_id": draw.word("customer_id"), "field": "email", "value": draw.word("person")}


def rooms(draw: Draw) -> Arguments:
    """Draw a time, and how many people come."""
    return {"date": draw.date(), "time": draw.time(), "seats": draw.random.randrange(3, 30)}


def _room(draw: Draw) -> Arguments:
    return {"room_id": draw.word("room_id"), "date": draw.date(), "time": draw.time()}


NEW_TASKS: dict[str, Build] = {
    "ticket": one("create_ticket", _ticket),
    "assign": one("assign_ticket", _assignment),
    "close": one("close_ticket", _closing),
    "tickets": one("find_tickets", lambda draw: {"query": draw.word("matter")}),
    "stock": one("get_stock", lambda draw: {"sku": draw.word("sku")}),
    "move": one("move_stock", _move),
    "price": one("set_price", _price),
    "trains": one("find_trains", trains),
    "book_train": one("book_train", _booking),
    "message": one("post_message", message),
    "refund": one("refund_invoice", refund),
    "invoice": one("get_invoice", lambda draw: {"invoice_id": draw.word("invoice_id")}),
    "customer": one("find_customer", lambda draw: {"name": draw.word("customer")}),
    "moved_away": one("update_customer", _customer, withheld=("find_customer",)),
    "rooms": one("find_rooms", rooms, withheld=("book_room", "create_event")),
    "book_room": one("book_room", _room, withheld=("find_rooms", "create_event")),
    "notes": one("search_notes", lambda draw: {"query": draw.word("item")}, withheld=("find_pages", "find_files")),
    "read_note": one("read_note", lambda draw: {"name": draw.word("note_name")}, withheld=("search_notes",)),
    "pages": one("find_pages", lambda draw: {"text": draw.word("item")}, withheld=("search_notes", "find_files")),
    "page": one("get_page", lambda draw: {"title": draw.word("page_title")}, withheld=("find_pages",)),
}
_OLD_PLAIN = (
    *(("get_forecast", "plain"), ("create_event", "plain"), ("list_events", "day"), ("find_files", "plain")),
    *(("rename_file", "plain"), ("search_products", "plain"), ("place_order", "plain"), ("send_mail", "one")),
    *(("convert_units", "plain"), ("set_timer", "plain"), ("set_light", "plain")),
)
_OLD_SEVERAL = (("get_forecast", "two"), ("place_order", "two"), ("create_event", "and_mail"))
_OLD_EXACT = tuple(
    (tool, name)
    for tool, skills in SKILLS.items()
    for name in skills
    if tool != NO_CALL and (tool, name) not in (*_OLD_PLAIN, *_OLD_SEVERAL)
)

TOOL_CHOICE = {name: Kind(build, ("tool_choice", name)) for name, build in NEW_TASKS.items()} | {
    f"{tool}.{name}": skill(tool, name) for tool, name in _OLD_PLAIN
}

EXACT_ARGUMENTS = {f"{tool}.{name}": skill(tool, name) for tool, name in _OLD_EXACT} | {
    name: Kind(build, ("exact_arguments", name))
    for name, build in {
        "ticket_tags": one(
            "create_ticket", lambda draw: {**_ticket(draw), "tags": several(draw, "tag", 2), "due": draw.date()}
        ),
        "refund_reason": one(
            "refund_invoice", lambda draw: {**refund(draw), "reason": draw.pick(("damaged", "late", "goodwill"))}
        ),
        "waiting": one("find_tickets", lambda draw: {"query": draw.word("matter"), "status": "waiting"}),
        "thread": one("post_message", lambda draw: {**message(draw), "thread": draw.word("ticket_id")}),
        "price_from": one("set_price", lambda draw: {**_price(draw), "valid_from": draw.date()}),
        "window": one("book_train", lambda draw: {**_booking(draw), "seat": draw.pick(("window", "aisle"))}),
        "address": one("update_customer", _address, withheld=("find_customer",)),
        "database": one(
            "run_query",
            lambda draw: {
                "sql": f"SELECT {draw.word('column')} FROM {draw.word('table')}",
                "database": draw.word("database"),
            },
        ),
    }.items()
}


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
    text, channels = draw.word("message"), several(draw, "channel", 3)
    steps = tuple(Step("post_message", {"channel": channel, "text": text}) for channel in channels)
    return Draft(slots={"text": text, "channels": ", ".join(channels)}, turns=(steps,))


SEVERAL_CALLS = {f"{tool}.{name}": skill(tool, name) for tool, name in _OLD_SEVERAL} | {
    name: Kind(build, ("several_calls", name))
    for name, build in {
        "two_stocks": _twice(NEW_TASKS["stock"]),
        "two_prices": _twice(NEW_TASKS["price"]),
        "two_trains": _twice(NEW_TASKS["trains"]),
        "assign_and_close": _assign_and_close,
        "three_messages": _three_messages,
    }.items()
}
