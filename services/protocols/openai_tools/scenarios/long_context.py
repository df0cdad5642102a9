"""Up to 8,000 tokens of listings in the request, of which one line matters."""

from collections.abc import Sequence

from services.protocols.material.draw import Draw
from services.protocols.material.scenario import Closing, Draft, Step, kinds_of
from services.protocols.openai_tools.scenarios.talk import REPORT
from services.protocols.openai_tools.scenarios.texts import fenced, number_of

_LINES = (60, 120, 200, 320)
"""How many lines a listing has."""


def _codes(draw: Draw, words: str, count: int) -> list[str]:
    first = draw.word(words)[:-3]
    return [f"{first}{number:03}" for number in draw.random.sample(range(1000), count)]


def _goods(draw: Draw, count: int) -> list[str]:
    products, cities = draw.stock.words["product"], draw.stock.words["city"]
    found = draw.random.sample(range(len(products) * len(cities) * 40), count)
    pairs = (divmod(number, len(products) * len(cities)) for number in found)
    return [f"{products[rest % len(products)]} {size + 1} ({cities[rest // len(products)]})" for size, rest in pairs]


def _listed(lines: Sequence[str]) -> str:
    return fenced("\n".join(lines))


def catalogue(draw: Draw) -> Draft:
    """The number of a product, among many."""
    goods = _goods(draw, draw.pick(_LINES))
    codes, place = _codes(draw, "product_id", len(goods)), draw.random.randrange(len(goods))
    lines = [f"{item}: {code}, {draw.word('price')}" for item, code in zip(goods, codes, strict=True)]
    step = Step("place_order", {"product_id": codes[place], "quantity": number_of(draw, "quantity")})
    slots = {"text": _listed(lines), "item": goods[place], "quantity": step.arguments["quantity"]}
    return Draft(slots=slots, turns=((step,),), withheld=("search_products",))


def ledger(draw: Draw) -> Draft:
    """The sum of an invoice, among many."""
    codes = _codes(draw, "invoice_id", draw.pick(_LINES))
    sums = draw.random.sample(range(100, 10_000), len(codes))
    names = [draw.word("customer") for _ in codes]
    rows = zip(codes, names, sums, strict=True)
    lines = [f"{code} | {name} | {amount} {draw.pick(('EUR', 'USD'))}" for code, name, amount in rows]
    place = draw.random.randrange(len(codes))
    currency = lines[place].rpartition(" ")[2]
    step = Step("refund_invoice", {"invoice_id": codes[place], "amount": sums[place], "currency": currency})
    return Draft(
        slots={"text": _listed(lines), "invoice_id": codes[place]}, turns=((step,),), withheld=("get_invoice",)
    )


def stockroom(draw: Draw) -> Draft:
    """Where a piece lies and how many there are, among many."""
    codes = _codes(draw, "sku", draw.pick(_LINES))
    places = [draw.word("city") for _ in codes]
    counts = [draw.random.randrange(2, 900) for _ in codes]
    rows = zip(codes, places, counts, strict=True)
    lines = [f"{code} - {city}: {count} - {draw.word('product')}" for code, city, count in rows]
    place = draw.random.randrange(len(codes))
    while (target := draw.word("city")) == places[place]:
        pass
    arguments = {
        "sku": codes[place],
        "from_warehouse": places[place],
        "to_warehouse": target,
        "quantity": counts[place],
    }
    slots = {"text": _listed(lines), "sku": codes[place], "there": target}
    return Draft(slots=slots, turns=((Step("move_stock", arguments),),), withheld=("get_stock",))


def timetable(draw: Draw) -> Draft:
    """The train that leaves at a time, among many."""
    codes = [
        f"{draw.word('train_id')[:2]}{number}" for number in draw.random.sample(range(200, 999), draw.pick(_LINES))
    ]
    minutes = draw.random.sample(range(1440), len(codes))
    clocks = [f"{minute // 60:02}:{minute % 60:02}" for minute in minutes]
    lines = [
        f"{clock} {code} {draw.word('city')} - {draw.word('city')}" for clock, code in zip(clocks, codes, strict=True)
    ]
    place, name = draw.random.randrange(len(codes)), draw.word("customer")
    step = Step("book_train", {"train_id": codes[place], "passengers": [name]})
    slots = {"text": _listed(lines), "time": clocks[place], "name": name}
    return Draft(slots=slots, turns=((step,),), withheld=("find_trains",))


def told(draw: Draw) -> Draft:
    """A number to be told, among many; no function is needed for it."""
    goods = _goods(draw, draw.pick(_LINES))
    counts, place = draw.random.sample(range(1000, 10_000), len(goods)), draw.random.randrange(len(goods))
    lines = [f"{item}: {count}" for item, count in zip(goods, counts, strict=True)]
    text = draw.sentence("told", it=goods[place], value=counts[place])
    slots = {"text": _listed(lines), "item": goods[place]}
    return Draft(slots=slots, closing=Closing(text, (str(counts[place]),)), label=REPORT)


LONG_CONTEXT = kinds_of(
    "long_context",
    {"catalogue": catalogue, "ledger": ledger, "stockroom": stockroom, "timetable": timetable, "told": told},
)
