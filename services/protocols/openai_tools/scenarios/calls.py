"""Single calls of the functions that the first suite was made of, and requests that take none."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from services.protocols.material.draw import Draw
from services.protocols.material.scenario import Build, Closing, Draft, Kind, Step
from services.protocols.openai_tools.scenarios.texts import any_date, any_time, number_of
from services.protocols.openai_tools.tools import NO_CALL

Arguments = dict[str, object]
Values = Mapping[str, str | tuple[str, ...] | Callable[[Draw], object]]
"""By argument: the list that its word is of, the texts of which it is one, or what draws it."""


def shown(arguments: Arguments) -> dict[str, object]:
    """Return the arguments as a wording shows them: the entries of a list joined."""
    return {name: " and ".join(value) if isinstance(value, list) else value for name, value in arguments.items()}


def drawn(draw: Draw, values: Values) -> Arguments:
    """Return arguments, each a word of the list that is named, one of several texts, or what is drawn for it."""
    arguments: Arguments = {}
    for name, value in values.items():
        if isinstance(value, str):
            arguments[name] = draw.word(value)
        else:
            arguments[name] = draw.pick(value) if isinstance(value, tuple) else value(draw)
    return arguments


def number(words: str) -> Callable[[Draw], object]:
    """Return what draws a number of the list `words`."""
    return lambda draw: number_of(draw, words)


def call(tool: str, make: Values | Callable[[Draw], Arguments], *, withheld: tuple[str, ...] = ()) -> Build:
    """Return what draws the task of one call, whose wording shows all arguments."""

    def build(draw: Draw) -> Draft:
        arguments = drawn(draw, make) if isinstance(make, Mapping) else make(draw)
        return Draft(slots=shown(arguments), turns=((Step(tool, arguments),),), withheld=withheld)

    return build


def _calls(*steps: Step, **slots: object) -> Draft:
    return Draft(slots={**shown(slots), **shown(dict(steps[0].arguments))}, turns=(steps,))


_FORECAST: Values = {"city": "city", "days": lambda draw: draw.random.randrange(2, 15)}
_EVENT: Values = {"title": "title", "date": any_date, "time": any_time}
_FILES: Values = {"pattern": "glob", "folder": "folder"}
_PRODUCTS: Values = {"query": "product", "max_price": number("price")}
_ORDER: Values = {"product_id": "product_id", "quantity": number("quantity")}


def _two_forecasts(draw: Draw) -> Draft:
    cities, days = draw.several("city", 2), draw.random.randrange(2, 15)
    return _calls(*(Step("get_forecast", {"city": city, "days": days}) for city in cities), city2=cities[1])


def _event_and_mail(draw: Draw) -> Draft:
    mail = _mail(1)(draw)
    return _calls(Step("create_event", drawn(draw, _EVENT)), Step("send_mail", mail), **mail)


def _two_orders(draw: Draw) -> Draft:
    products, quantities = draw.several("product_id", 2), draw.several("quantity", 2)
    steps = (
        Step("place_order", {"product_id": product, "quantity": int(quantity)})
        for product, quantity in zip(products, quantities, strict=True)
    )
    return _calls(*steps, product_id2=products[1], quantity2=quantities[1])


def _mail(num_people: int) -> Callable[[Draw], Arguments]:
    def make(draw: Draw) -> Arguments:
        people = draw.several("person", 2)[:num_people]
        return {"to": people, "subject": draw.word("subject"), "body": draw.word("body")}

    return make


def _units(draw: Draw) -> Arguments:
    before, _, after = draw.word("units").partition(">")
    return {"value": number_of(draw, "value"), "from_unit": before, "to_unit": after}


def _light(draw: Draw) -> Draft:
    color = {name: number_of(draw, "level") for name in ("red", "green", "blue")}
    return _calls(Step("set_light", {"room": draw.word("room"), "color": color}), **color)


def _no_call(words: str, *slots: tuple[str, str], offers: tuple[str, ...] = ()) -> Build:
    """Return what needs no call, or asks for one that lacks an argument; the answer is of the list `words`."""

    def build(draw: Draw) -> Draft:
        values = {name: draw.word(word) for name, word in slots}
        return Draft(slots=values, closing=Closing(draw.word(words)), label=NO_CALL, offers=offers)

    return build


BUILDS: Mapping[str, Mapping[str, Build]] = MappingProxyType(
    {
        "get_forecast": {
            "plain": call("get_forecast", _FORECAST),
            "unit": call("get_forecast", {**_FORECAST, "unit": lambda _: "fahrenheit"}),
            "two": _two_forecasts,
        },
        "create_event": {
            "plain": call("create_event", _EVENT),
            "people": call("create_event", {**_EVENT, "attendees": lambda draw: draw.several("person", 2)}),
            "and_mail": _event_and_mail,
        },
        "list_events": {
            "day": call("list_events", {"date": any_date}),
            "calendar": call("list_events", {"date": any_date, "calendar": "calendar"}),
        },
        "find_files": {
            "plain": call("find_files", _FILES),
            "limit": call("find_files", {**_FILES, "max_results": number("max_results")}),
        },
        "rename_file": {"plain": call("rename_file", {"path": "old_path", "new_name": "new_name"})},
        "search_products": {
            "plain": call("search_products", _PRODUCTS),
            "stock": call("search_products", {**_PRODUCTS, "in_stock": lambda _: True}),
        },
        "place_order": {
            "plain": call("place_order", _ORDER),
            "wrap": call("place_order", {**_ORDER, "gift_wrap": lambda _: True}),
            "two": _two_orders,
        },
        "send_mail": {"one": call("send_mail", _mail(1)), "two": call("send_mail", _mail(2))},
        "convert_units": {"plain": call("convert_units", _units)},
        "set_timer": {"plain": call("set_timer", {"minutes": number("minutes"), "label": "label"})},
        "set_light": {"plain": _light},
    }
)
"""What draws a call of each function, by name."""

_WITHOUT_CALL: Mapping[str, Build] = {
    "chat": _no_call("reply", ("thing", "thing")),
    "ask_mail": _no_call("question", ("to", "person"), ("city", "city"), ("stem", "stem"), offers=("send_mail",)),
    "ask_order": _no_call(
        "question", *((name, name) for name in ("quantity", "city", "product")), offers=("place_order",)
    ),
}


def kind_of_call(tool: str, name: str) -> Kind:
    """Return the kind of a call, whose wordings stand under its function."""
    return Kind(BUILDS[tool][name], (tool, name))


SINGLE_CALLS = {
    f"{tool}_{name}": Kind(build, (tool, name), tool=tool)
    for tool, builds in {**BUILDS, NO_CALL: _WITHOUT_CALL}.items()
    for name, build in builds.items()
}
"""One plain request for each function, and some that take none."""
