"""What a case may ask: for each tool its skills, each a drawing of calls and of what the wording shows of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from services.protocols.openai_tools.authoring.draw import Draw
from services.protocols.openai_tools.tools import NO_CALL

Arguments = dict[str, object]


@dataclass(frozen=True, slots=True)
class Draft:
    """The calls that are due, what the wording shows beside their arguments, and tools that must be on offer."""

    calls: tuple[tuple[str, Arguments], ...]
    shown: Mapping[str, object] = field(default_factory=dict)
    offers: tuple[str, ...] = ()


Skill = Callable[[Draw], Draft]


def _one(tool: str, make: Callable[[Draw], Arguments]) -> Skill:
    return lambda draw: Draft(((tool, make(draw)),))


def _forecast(draw: Draw) -> Arguments:
    return {"city": draw.word("city"), "days": draw.random.randrange(2, 15)}


def _two_forecasts(draw: Draw) -> Draft:
    (city, other), days = draw.two("city"), draw.random.randrange(2, 15)
    calls = tuple(("get_forecast", {"city": one, "days": days}) for one in (city, other))
    return Draft(calls, {"city2": other})


def _event(draw: Draw) -> Arguments:
    return {"title": draw.word("title"), "date": draw.date(), "time": draw.time()}


def _event_and_mail(draw: Draw) -> Draft:
    mail = _mail(1)(draw)
    return Draft((("create_event", _event(draw)), ("send_mail", mail)), mail)


def _files(draw: Draw) -> Arguments:
    return {"pattern": draw.word("glob"), "folder": draw.word("folder")}


def _products(draw: Draw) -> Arguments:
    return {"query": draw.word("product"), "max_price": draw.number("price")}


def _order(draw: Draw) -> Arguments:
    return {"product_id": draw.word("product_id"), "quantity": draw.number("quantity")}


def _two_orders(draw: Draw) -> Draft:
    (one, other), (few, more) = draw.two("product_id"), draw.two("quantity")
    calls = (
        ("place_order", {"product_id": one, "quantity": int(few)}),
        ("place_order", {"product_id": other, "quantity": int(more)}),
    )
    return Draft(calls, {"product_id2": other, "quantity2": more})


def _mail(count: int) -> Callable[[Draw], Arguments]:
    def make(draw: Draw) -> Arguments:
        people = list(draw.two("person"))[:count]
        return {"to": people, "subject": draw.word("subject"), "body": draw.word("body")}

    return make


def _units(draw: Draw) -> Arguments:
    before, _, after = draw.word("units").partition(">")
    return {"value": draw.number("value"), "from_unit": before, "to_unit": after}


def _light(draw: Draw) -> Draft:
    color = {name: draw.number("level") for name in ("red", "green", "blue")}
    return Draft((("set_light", {"room": draw.word("room"), "color": color}),), color)


def _asks(tool: str, *names: str) -> Skill:
    slots = {"to": "person"}
    return lambda draw: Draft((), {name: draw.word(slots.get(name, name)) for name in names}, (tool,))


SKILLS: Mapping[str, Mapping[str, Skill]] = MappingProxyType(
    {
        "get_forecast": {
            "plain": _one("get_forecast", _forecast),
            "unit": _one("get_forecast", lambda draw: _forecast(draw) | {"unit": "fahrenheit"}),
            "two": _two_forecasts,
        },
        "create_event": {
            "plain": _one("create_event", _event),
            "people": _one("create_event", lambda draw: _event(draw) | {"attendees": list(draw.two("person"))}),
            "and_mail": _event_and_mail,
        },
        "list_events": {
            "day": _one("list_events", lambda draw: {"date": draw.date()}),
            "calendar": _one("list_events", lambda draw: {"date": draw.date(), "calendar": draw.word("calendar")}),
        },
        "find_files": {
            "plain": _one("find_files", _files),
            "limit": _one("find_files", lambda draw: _files(draw) | {"max_results": draw.number("max_results")}),
        },
        "rename_file": {
            "plain": _one("rename_file", lambda d: {"path": d.word("old_path"), "new_name": d.word("new_name")})
        },
        "search_products": {
            "plain": _one("search_products", _products),
            "stock": _one("search_products", lambda draw: _products(draw) | {"in_stock": True}),
        },
        "place_order": {
            "plain": _one("place_order", _order),
            "wrap": _one("place_order", lambda draw: _order(draw) | {"gift_wrap": True}),
            "two": _two_orders,
        },
        "send_mail": {"one": _one("send_mail", _mail(1)), "two": _one("send_mail", _mail(2))},
        "convert_units": {"plain": _one("convert_units", _units)},
        "set_timer": {"plain": _one("set_timer", lambda d: {"minutes": d.number("minutes"), "label": d.word("label")})},
        "set_light": {"plain": _light},
        NO_CALL: {
            "chat": _asks("", "thing"),
            "ask_mail": _asks("send_mail", "to", "city", "stem"),
            "ask_order": _asks("place_order", "quantity", "city", "product"),
        },
    }
)
