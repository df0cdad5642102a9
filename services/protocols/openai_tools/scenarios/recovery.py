"""Recovery: the history holds an answer that the client refused, and the right answer repairs it.

A kind is named by the client's code, and by what is wrong where one code has several.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace

from services.protocols.material.draw import Draw
from services.protocols.material.scenario import Build, Draft, Kind, Step
from services.protocols.openai_tools.scenarios.calls import kind_of_call
from services.protocols.openai_tools.scenarios.edits import EDIT_BY_DIFF, WHOLE_FILE
from services.protocols.openai_tools.scenarios.functions import EFFECTS
from services.protocols.openai_tools.scenarios.tasks import EXACT_ARGUMENTS, TOOL_CHOICE, message
from services.protocols.openai_tools.scenarios.texts import answer_of, number_of
from services.protocols.turn import Answer, ToolCall

Arguments = Mapping[str, object]
_NUM_REFUSED = 4


def after(build: Build, wrong: Callable[[Step], Answer]) -> Build:
    """Return what draws the task of `build` behind a wrong answer to it."""

    def behind(draw: Draw) -> Draft:
        draft = build(draw)
        return replace(draft, history=(wrong(draft.turns[0][0]),))

    return behind


def raw(change: Callable[[str], str], *, suffix: str = "") -> Callable[[Step], Answer]:
    """Return what makes the right call with its arguments' text changed, or under another name."""

    def wrong(step: Step) -> Answer:
        text = change(json.dumps(step.arguments, ensure_ascii=False))
        return Answer(calls=(ToolCall(step.tool + suffix, text),))

    return wrong


def other(change: Callable[[Arguments], Arguments]) -> Callable[[Step], Answer]:
    """Return what makes the right call with other arguments."""
    return lambda step: answer_of([replace(step, arguments=change(step.arguments))])


def without(name: str) -> Callable[[Step], Answer]:
    """Return what leaves an argument out."""
    return other(lambda given: {key: one for key, one in given.items() if key != name})


def changed(name: str, change: Callable[[str], object]) -> Callable[[Step], Answer]:
    """Return what gives an argument another value."""
    return other(lambda given: {**given, name: change(str(given[name]))})


def in_edit(purpose: str, change: Callable[[str, str], str]) -> Callable[[Step], Answer]:
    """Return what spoils one argument of an edit; `change` gets the old and the new text, or path and path."""

    def wrong(step: Step) -> Answer:
        names = EFFECTS[step.tool].arguments
        first, second = ("path", "path") if purpose == "path" else ("old", "new")
        texts = (str(step.arguments[names[first]]), str(step.arguments[names[second]]))
        return answer_of([replace(step, arguments={**step.arguments, names[purpose]: change(*texts)})])

    return wrong


def repeated(draw: Draw) -> Draft:
    """The client has refused the fourth equal search; another is to follow."""
    query = draw.word("matter")
    again = answer_of([Step("find_tickets", {"query": query})])
    step = Step("search_notes", {"query": query})
    history = (again,) * _NUM_REFUSED
    slots = {"query": query}
    return Draft(slots=slots, turns=((step,),), history=history, offers=("find_tickets",), withheld=("find_pages",))


def denied(draw: Draw) -> Draft:
    """The person has refused a call, and has said what to do then."""
    said, label, minutes = message(draw), draw.word("label"), number_of(draw, "minutes")
    return Draft(
        slots={**said, "label": label, "minutes": minutes},
        turns=((Step("set_timer", {"minutes": minutes, "label": label}),),),
        history=(answer_of([Step("post_message", said)]),),
        offers=("post_message",),
        denied_tools=("post_message",),
    )


def misread(draw: Draw) -> Draft:
    """A note was looked for under a name that no note has; the client has named those that there are."""
    names = (draw.word("note_name"), draw.word("remark"))
    step = Step("read_note", {"name": names[0]})
    wrong = answer_of([Step("read_note", {"name": f"{names[0]}.txt"})])
    slots = {"name": f"{names[0]}.txt"}
    return Draft(slots=slots, turns=((step,),), files=dict([names]), history=(wrong,), withheld=("search_notes",))


_SLIPS: tuple[tuple[str, Kind, Callable[[Step], Answer]], ...] = (
    ("bad_json.cut", kind_of_call("place_order", "plain"), raw(lambda text: text[:-2])),
    ("bad_json.quotes", TOOL_CHOICE["message"], raw(lambda text: text.replace('"', "'"))),
    ("bad_json.long", WHOLE_FILE["page"], raw(lambda text: text[:-9])),
    ("not_an_object", TOOL_CHOICE["stock"], raw(lambda text: f"[{text}]")),
    ("unknown_tool", kind_of_call("send_mail", "one"), raw(str, suffix="_now")),
    ("missing_param.title", TOOL_CHOICE["ticket"], without("title")),
    ("missing_param.date", kind_of_call("create_event", "plain"), without("date")),
    ("bad_value.type", kind_of_call("set_timer", "plain"), changed("minutes", str)),
    ("bad_value.enum", TOOL_CHOICE["close"], changed("resolution", str.upper)),
    ("bad_value.pattern", TOOL_CHOICE["invoice"], changed("invoice_id", str.lower)),
    ("bad_value.range", kind_of_call("get_forecast", "plain"), changed("days", lambda _: 99)),
    ("bad_value.extra", TOOL_CHOICE["price"], other(lambda arguments: {**arguments, "force": True})),
    (
        "bad_value.list",
        EXACT_ARGUMENTS["window"],
        other(lambda arguments: {**arguments, "passengers": str(arguments["passengers"])}),
    ),
    (
        "bad_value.nested",
        kind_of_call("set_light", "plain"),
        other(lambda arguments: {**arguments, "color": str(arguments["color"])}),
    ),
    ("empty_answer", TOOL_CHOICE["trains"], lambda step: Answer(" ")),
    ("file_not_found.edit", EDIT_BY_DIFF["value_page"], in_edit("path", lambda path, _: f"{path}s")),
    ("no_match", EDIT_BY_DIFF["value_note"], in_edit("old", lambda old, _: old.swapcase())),
    ("several_matches", EDIT_BY_DIFF["twin_note"], in_edit("old", lambda old, _: old.partition("\n")[2])),
    ("identical", EDIT_BY_DIFF["value_page"], in_edit("new", lambda old, _: old)),
    ("empty_search", EDIT_BY_DIFF["value_note"], in_edit("old", lambda *_: "")),
)

RECOVERY: Mapping[str, Kind] = {
    **{name: replace(kind, build=after(kind.build, wrong)) for name, kind, wrong in _SLIPS},
    "repeated_call": Kind(repeated, ("recovery", "repeated")),
    "denied_by_user": Kind(denied, ("recovery", "denied")),
    "file_not_found.read": Kind(misread, ("recovery", "misread")),
}
