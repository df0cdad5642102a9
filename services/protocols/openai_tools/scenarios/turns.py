"""Tasks of several answers: what one call answers is needed for the next."""

from collections.abc import Sequence
from dataclasses import replace

from services.protocols.cases import Goal
from services.protocols.material.draw import Draw
from services.protocols.material.scenario import Build, Closing, Draft, Step, kinds_of
from services.protocols.openai_tools.scenarios.edits import NOTES, PAGES, Shelf, edit, others, write
from services.protocols.openai_tools.scenarios.functions import EFFECTS
from services.protocols.openai_tools.scenarios.tasks import message, rooms, trains
from services.protocols.openai_tools.scenarios.texts import answer_of, json_text, listing, number_of


def lookup(tool: str, arguments: dict[str, object], result: str = "") -> Step:
    """Look something up; doing so again harms nobody."""
    return Step(tool, arguments, result=result, is_lookup=True)


def done(draw: Draw, *mentions: object) -> Closing:
    """Say that the work is done, naming what it was done to."""
    words = [str(mention) for mention in mentions]
    return Closing(draw.sentence("done", it=" / ".join(words)), tuple(words))


def document_change(shelf: Shelf) -> Build:
    """Find the document, read it, change a number in it."""

    def build(draw: Draw) -> Draft:
        drawn, other = listing(draw, shelf.names), listing(draw, shelf.names, "other_item")
        while other.name == drawn.name:
            other = listing(draw, shelf.names, "other_item")
        lookup_step = lookup(shelf.find, {EFFECTS[shelf.find].arguments["text"]: drawn.item})
        read = lookup(shelf.read, {EFFECTS[shelf.read].arguments["path"]: drawn.name})
        change = edit(shelf, drawn.name, drawn.text, drawn.line, f"{drawn.item}: {drawn.new}")
        return Draft(
            slots={"item": drawn.item, "new": drawn.new},
            turns=((lookup_step,), (read,), (change,)),
            closing=done(draw, drawn.name),
            files={drawn.name: drawn.text, other.name: other.text},
            goal=Goal(change.files),
            withheld=others(NOTES if shelf is PAGES else PAGES),
        )

    return build


def customer_change(draw: Draw) -> Draft:
    """Find the customer's number, change a field."""
    name, number = draw.word("customer"), draw.word("customer_id")
    before, after = draw.several("city", 2)
    lookup_step = lookup("find_customer", {"name": name}, json_text(customer_id=number, name=name, city=before))
    change = Step("update_customer", {"customer_id": number, "field": "city", "value": after})
    return Draft(slots={"name": name, "city": after}, turns=((lookup_step,), (change,)), closing=done(draw, number))


def customer_mail(draw: Draw) -> Draft:
    """Find the customer's address, write to it."""
    name, address = draw.word("customer"), draw.word("person")
    subject, body = draw.word("subject"), draw.word("body")
    lookup_step = lookup("find_customer", {"name": name}, json_text(name=name, email=address))
    mail = Step("send_mail", {"to": [address], "subject": subject, "body": body})
    slots = {"name": name, "subject": subject, "body": body}
    return Draft(slots=slots, turns=((lookup_step,), (mail,)), closing=done(draw, address))


def full_refund(draw: Draw) -> Draft:
    """Look at the invoice, pay all of it back."""
    number, amount, currency = draw.word("invoice_id"), number_of(draw, "price"), draw.pick(("EUR", "CHF"))
    lookup_step = lookup("get_invoice", {"invoice_id": number}, json_text(id=number, amount=amount, currency=currency))
    pay = Step("refund_invoice", {"invoice_id": number, "amount": amount, "currency": currency})
    return Draft(slots={"invoice_id": number}, turns=((lookup_step,), (pay,)), closing=done(draw, amount))


def ticket_owner(draw: Draw) -> Draft:
    """Find the ticket, give it to somebody."""
    query, number, who = draw.word("matter"), draw.word("ticket_id"), draw.word("first")
    lookup_step = lookup("find_tickets", {"query": query}, json_text(found=[{"ticket_id": number, "about": query}]))
    give = Step("assign_ticket", {"ticket_id": number, "assignee": who})
    return Draft(slots={"query": query, "assignee": who}, turns=((lookup_step,), (give,)), closing=done(draw, number))


def whole_stock(draw: Draw) -> Draft:
    """See how much there is, move all of it."""
    sku, (here, there) = draw.word("sku"), draw.several("city", 2)
    counts = dict(zip((here, there), draw.random.sample(range(11, 300), 2), strict=True))
    lookup_step = lookup("get_stock", {"sku": sku}, json_text(sku=sku, pieces=counts))
    arguments = {"sku": sku, "from_warehouse": here, "to_warehouse": there, "quantity": counts[here]}
    slots = {"sku": sku, "here": here, "there": there}
    return Draft(
        slots=slots, turns=((lookup_step,), (Step("move_stock", arguments),)), closing=done(draw, counts[here])
    )


def first_train(draw: Draw) -> Draft:
    """See which trains there are, book the first."""
    arguments, names = trains(draw), draw.several("customer", 2)
    early, late = sorted(draw.random.sample(range(60, 230), 2))
    codes = draw.several("train_id", 2)
    results = [{"train_id": codes[0], "leaves": _clock(early)}, {"train_id": codes[1], "leaves": _clock(late)}]
    draw.random.shuffle(results)
    lookup_step = lookup("find_trains", arguments, json_text(found=results))
    book = Step("book_train", {"train_id": codes[0], "passengers": names})
    slots = {**arguments, "passengers": " and ".join(names)}
    return Draft(slots=slots, turns=((lookup_step,), (book,)), closing=done(draw, codes[0]))


def _clock(steps: int) -> str:
    return f"{steps // 12:02}:{steps % 12 * 5:02}"


def largest_room(draw: Draw) -> Draft:
    """See which rooms are free, book the largest."""
    arguments, ids = rooms(draw), draw.several("room_id", 3)
    sizes = sorted(draw.random.sample(range(30, 90), 3))
    results = [{"room_id": room, "seats": seats} for room, seats in zip(ids, sizes, strict=True)]
    draw.random.shuffle(results)
    lookup_step = lookup("find_rooms", arguments, json_text(found=results))
    book = Step("book_room", {"room_id": ids[2], "date": arguments["date"], "time": arguments["time"]})
    return Draft(
        slots=arguments, turns=((lookup_step,), (book,)), closing=done(draw, ids[2]), withheld=("create_event",)
    )


def scarcer(draw: Draw) -> Draft:
    """See how much there is of two things, in one answer or in two, and raise the price of the scarcer one."""
    skus, counts = draw.several("sku", 2), draw.random.sample(range(11, 900), 2)
    amount, currency = number_of(draw, "price"), draw.pick(("EUR", "USD"))
    pairs = zip(skus, counts, strict=True)
    lookup_step = tuple(lookup("get_stock", {"sku": sku}, json_text(sku=sku, pieces=count)) for sku, count in pairs)
    chosen = skus[counts.index(min(counts))]
    price = Step("set_price", {"sku": chosen, "amount": amount, "currency": currency})
    slots = {"sku": skus[0], "sku2": skus[1], "amount": amount, "currency": currency}
    return Draft(slots=slots, turns=(lookup_step, (price,)), closing=done(draw, chosen))


SEARCH_READ_EDIT = kinds_of(
    "search_read_edit",
    {
        "note_change": document_change(NOTES),
        "page_change": document_change(PAGES),
        "customer_change": customer_change,
        "customer_mail": customer_mail,
        "full_refund": full_refund,
        "ticket_owner": ticket_owner,
        "whole_stock": whole_stock,
        "first_train": first_train,
        "largest_room": largest_room,
        "scarcer": scarcer,
    },
)


def _tasks(jobs: Sequence[str], finished: int) -> Step:
    states = ["completed" if place < finished else "pending" for place in range(len(jobs))]
    if finished < len(jobs):
        states[finished] = "in_progress"
    items = [{"text": job, "status": state} for job, state in zip(jobs, states, strict=True)]
    return Step("set_tasks", {"tasks": items})


def _with_list(draw: Draw, jobs: Sequence[str], work: Sequence[Step], mention: object) -> Draft:
    turns = [(_tasks(jobs, 0),)]
    for finished, step in enumerate(work, start=1):
        turns += [(step,), (_tasks(jobs, finished),)]
    return Draft(
        slots={"jobs": "\n".join(f"- {job}" for job in jobs), "last": mention},
        turns=tuple(turns),
        closing=done(draw, mention),
        goal=Goal(todos=tuple(("completed", job) for job in jobs)),
    )


def write_all(draw: Draw) -> Draft:
    """Two notes, one after the other, the list kept up to date."""
    names, texts = draw.several("note_name", 2), draw.several("remark", 2)
    jobs = [draw.sentence("job_write", it=name, text=text) for name, text in zip(names, texts, strict=True)]
    work = [write(NOTES.write, name, text) for name, text in zip(names, texts, strict=True)]
    draft = _with_list(draw, jobs, work, names[-1])
    goal = Goal(dict(zip(names, texts, strict=True)), todos=draft.goal.todos if draft.goal else None)
    return replace(draft, goal=goal, withheld=(*others(NOTES, NOTES.write), *others(PAGES)))


def _jobs(draw: Draw) -> tuple[list[str], list[Step]]:
    said, minutes, label = message(draw), number_of(draw, "minutes"), draw.word("label")
    ticket, resolution = draw.word("ticket_id"), draw.pick(("fixed", "duplicate"))
    jobs = [
        draw.sentence("job_post", it=said["channel"], text=said["text"]),
        draw.sentence("job_timer", it=label, minutes=minutes),
        draw.sentence("job_close", it=ticket, how=resolution),
    ]
    work = [
        Step("post_message", said),
        Step("set_timer", {"minutes": minutes, "label": label}),
        Step("close_ticket", {"ticket_id": ticket, "resolution": resolution}),
    ]
    order = draw.random.sample(range(3), 3)
    return [jobs[place] for place in order], [work[place] for place in order]


def mixed(draw: Draw) -> Draft:
    """Three jobs of different kinds."""
    jobs, work = _jobs(draw)
    return _with_list(draw, jobs, work, len(jobs))


def resume(draw: Draw) -> Draft:
    """The list is written and its first job done; the rest is left."""
    jobs, work = _jobs(draw)
    begun = [(_tasks(jobs, 0),), (work[0],)]
    turns = ((_tasks(jobs, 1),), (work[1],), (_tasks(jobs, 2),), (work[2],), (_tasks(jobs, 3),))
    return Draft(
        slots={"jobs": "\n".join(f"- {job}" for job in jobs)},
        turns=turns,
        closing=done(draw, len(jobs)),
        goal=Goal(todos=tuple(("completed", job) for job in jobs)),
        history=tuple(map(answer_of, begun)),
    )


def check_first(draw: Draw) -> Draft:
    """The list's second job needs what the first finds."""
    drawn = whole_stock(draw)
    (lookup_step,), (move,) = drawn.turns
    sku, here, there = (str(drawn.slots[name]) for name in ("sku", "here", "there"))
    jobs = [draw.sentence("job_count", it=sku), draw.sentence("job_move", it=sku, here=here, there=there)]
    return _with_list(draw, jobs, (lookup_step, move), move.arguments["quantity"])


TODO_TURNS = kinds_of(
    "todo_turns", {"write_all": write_all, "mixed": mixed, "resume": resume, "check_first": check_first}
)
