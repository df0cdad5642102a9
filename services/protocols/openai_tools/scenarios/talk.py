"""Answers in text: questions, reports, and talk; and questions by a function."""

from collections.abc import Callable

from services.protocols.cases import FreeText
from services.protocols.material.draw import Draw
from services.protocols.material.scenario import Build, Closing, Draft, Step, kinds_of
from services.protocols.openai_tools.scenarios.calls import BUILDS, shown
from services.protocols.openai_tools.scenarios.tasks import NEW_TASKS, message
from services.protocols.openai_tools.scenarios.texts import (
    answer_of,
    any_date,
    fenced,
    json_text,
    listing,
    number_of,
    results_of,
)
from services.protocols.openai_tools.scenarios.turns import done
from services.protocols.openai_tools.tools import NO_CALL

QUESTION, REPORT = "no_call_question", "no_call_report"


def unclear(task: Build, missing: str, tool: str) -> Build:
    """Return what asks for the call of `task` without one of its arguments, `ask_user` not being on offer."""

    def build(draw: Draw) -> Draft:
        slots = {name: value for name, value in task(draw).slots.items() if name != missing}
        closing = Closing(draw.sentence("asks", it=missing.replace("_", " ")), is_question=True)
        return Draft(slots=slots, closing=closing, label=QUESTION, offers=(tool,), withheld=("ask_user",))

    return build


def asked(task: Build, missing: str, words: Callable[[Draw], object]) -> Build:
    """Return the same with `ask_user` on offer: ask, make the call with what the person says, report."""

    def build(draw: Draw) -> Draft:
        ((step,),) = (drawn := task(draw)).turns
        value = words(draw)
        question = draw.sentence("asks", it=missing.replace("_", " "))
        ask = Step("ask_user", {"question": question}, (FreeText("question", question=True),), is_lookup=True)
        act = Step(step.tool, {**step.arguments, missing: value})
        slots = {name: one for name, one in drawn.slots.items() if name != missing}
        return Draft(
            slots=slots,
            turns=((ask,), (act,)),
            closing=done(draw, value),
            results={"ask_user": json_text(answer=value)},
            withheld=drawn.withheld,
        )

    return build


ASK_WHEN_UNCLEAR = kinds_of(
    "ask_when_unclear",
    {
        "quantity": unclear(NEW_TASKS["move"], "quantity", "move_stock"),
        "time": unclear(NEW_TASKS["book_room"], "time", "book_room"),
        "channel": unclear(NEW_TASKS["message"], "channel", "post_message"),
        "currency": unclear(NEW_TASKS["price"], "currency", "set_price"),
        "assignee": asked(NEW_TASKS["assign"], "assignee", lambda draw: draw.word("first")),
        "amount": asked(NEW_TASKS["refund"], "amount", lambda draw: draw.random.randrange(3, 400)),
        "date": asked(NEW_TASKS["trains"], "date", any_date),
    },
)


def reported(draw: Draw, steps: tuple[Step, ...], *mentions: object, **slots: object) -> Draft:
    """The calls are made and answered in the history; what they answered is left to tell."""
    return Draft(
        slots=slots,
        closing=done(draw, *mentions),
        label=REPORT,
        offers=tuple(dict.fromkeys(step.tool for step in steps)),
        history=(answer_of(steps),),
        results=results_of(steps),
    )


def ordered(draw: Draw) -> Draft:
    """An order's number."""
    number, quantity, order = draw.word("product_id"), number_of(draw, "quantity"), draw.random.randrange(10**5, 10**6)
    arguments = {"product_id": number, "quantity": quantity}
    return reported(draw, (Step("place_order", arguments, result=json_text(order=order)),), order, **arguments)


def owed(draw: Draw) -> Draft:
    """An invoice's amount."""
    number, amount = draw.word("invoice_id"), draw.random.randrange(1000, 9000)
    result = json_text(id=number, amount=amount, currency="EUR")
    return reported(draw, (Step("get_invoice", {"invoice_id": number}, result=result),), amount, invoice_id=number)


def counted(draw: Draw) -> Draft:
    """Two counts, asked for in one answer."""
    skus, counts = draw.several("sku", 2), draw.random.sample(range(100, 999), 2)
    pairs = zip(skus, counts, strict=True)
    steps = tuple(Step("get_stock", {"sku": sku}, result=json_text(sku=sku, pieces=count)) for sku, count in pairs)
    return reported(draw, steps, *counts, sku=skus[0], sku2=skus[1])


def booked(draw: Draw) -> Draft:
    """A reservation's code."""
    train, name, code = draw.word("train_id"), draw.word("customer"), f"R{draw.random.randrange(10**5, 10**6)}"
    step = Step("book_train", {"train_id": train, "passengers": [name]}, result=json_text(code=code))
    return reported(draw, (step,), code, train_id=train, name=name)


def converted(draw: Draw) -> Draft:
    """A measure in another unit."""
    drawn = BUILDS["convert_units"]["plain"](draw)
    ((step,),) = drawn.turns
    result = draw.random.randrange(1000, 9999)
    told = Step(step.tool, step.arguments, result=json_text(value=result))
    return reported(draw, (told,), result, **drawn.slots)


COMPLETION = kinds_of(
    "completion", {"ordered": ordered, "owed": owed, "counted": counted, "booked": booked, "converted": converted}
)


def talk(words: str) -> Build:
    """Return what needs no function, the subject being of the list `words`."""

    def build(draw: Draw) -> Draft:
        slots = {"thing": draw.word(words), "city": draw.word("city")}
        return Draft(slots=slots, closing=Closing(draw.word("small_talk")), label=NO_CALL)

    return build


def inline(draw: Draw) -> Draft:
    """A question that a text in the request answers."""
    drawn = listing(draw, "note_name", size=8)
    text = draw.sentence("told", it=drawn.item, value=drawn.old)
    slots = {"text": fenced(drawn.text), "item": drawn.item}
    return Draft(slots=slots, closing=Closing(text, (str(drawn.old),)), label=NO_CALL)


def not_yet(draw: Draw) -> Draft:
    """A call that is announced, and not to be made yet."""
    said = message(draw)
    return Draft(slots=shown(said), closing=Closing(draw.word("waits")), label=NO_CALL, offers=("post_message",))


NO_CALL_DUE = kinds_of(
    "no_call_due", {"explain": talk("concept"), "invent": talk("product"), "inline": inline, "not_yet": not_yet}
)
