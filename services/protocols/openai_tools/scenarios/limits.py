"""What cannot be done as it is asked for: another function, the most that is possible, or none at all."""

from services.protocols.material.draw import Draw
from services.protocols.material.scenario import Build, Closing, Draft, Step, kinds_of
from services.protocols.openai_tools.scenarios.calls import BUILDS, shown
from services.protocols.openai_tools.scenarios.edits import NOTES, others, write
from services.protocols.openai_tools.scenarios.tasks import NEW_TASKS, message
from services.protocols.openai_tools.scenarios.texts import any_date, any_time, fenced, listing

REFUSAL = "no_call_refusal"


def refuse(build: Build) -> Build:
    """Return what asks for a call whose function is not on offer."""

    def draft(draw: Draw) -> Draft:
        asked = build(draw)
        ((step,),) = asked.turns
        closing = Closing(draw.word("refusal"))
        return Draft(
            slots=asked.slots,
            closing=closing,
            label=REFUSAL,
            withheld=(
                step.tool,
                *{"send_mail": ("post_message",), "book_room": ("find_rooms", "create_event")}.get(step.tool, ()),
            ),
        )

    return draft


def mail_or_post(draw: Draw) -> Draft:
    """A mail that cannot be sent; a chat channel will do."""
    said, person = message(draw), draw.word("person")
    slots = {"person": person, **said}
    return Draft(slots=slots, turns=((Step("post_message", said),),), withheld=("send_mail",))


def order_or_ticket(draw: Draw) -> Draft:
    """An order that cannot be placed; a ticket will do."""
    title, number = draw.word("fault"), draw.word("product_id")
    step = Step("create_ticket", {"title": title, "priority": "low"})
    return Draft(slots={"title": title, "product_id": number}, turns=((step,),), withheld=("place_order",))


def room_or_event(draw: Draw) -> Draft:
    """A room that cannot be booked; an entry in the calendar will do."""
    title, date, time = draw.word("title"), any_date(draw), any_time(draw)
    step = Step("create_event", {"title": title, "date": date, "time": time})
    slots = {"title": title, "date": date, "time": time, "room": draw.word("room_id")}
    return Draft(slots=slots, turns=((step,),), withheld=("book_room", "find_rooms"))


def most_days(draw: Draw) -> Draft:
    """More days than the forecast has."""
    city, days = draw.word("city"), draw.random.randrange(15, 40)
    return Draft(slots={"city": city, "days": days}, turns=((Step("get_forecast", {"city": city, "days": 14}),),))


def whole_instead(draw: Draw) -> Draft:
    """A change of one line where notes can only be written whole."""
    drawn = listing(draw, NOTES.names, size=4)
    text = drawn.text.replace(drawn.line, f"{drawn.item}: {drawn.new}")
    slots = {"name": drawn.name, "text": fenced(drawn.text), "item": drawn.item, "new": drawn.new}
    return Draft(
        slots=slots,
        turns=((write(NOTES.write, drawn.name, text),),),
        files={drawn.name: drawn.text},
        withheld=others(NOTES, NOTES.write),
    )


def window_or_not(draw: Draw) -> Draft:
    """A seat of a kind that cannot be had; any seat will do."""
    train, name = draw.word("train_id"), draw.word("customer")
    step = Step("book_train", {"train_id": train, "passengers": [name]})
    return Draft(slots=shown({"train_id": train, "name": name}), turns=((step,),))


LIMITS = kinds_of(
    "limits",
    {
        "mail_or_post": mail_or_post,
        "order_or_ticket": order_or_ticket,
        "room_or_event": room_or_event,
        "most_days": most_days,
        "whole_instead": whole_instead,
        "window_or_not": window_or_not,
        "no_order": refuse(BUILDS["place_order"]["plain"]),
        "no_closing": refuse(NEW_TASKS["close"]),
        "no_refund": refuse(NEW_TASKS["refund"]),
    },
)
