"""Checks over all calls of an answer: the form of each, and the calls against those that are due."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from services.protocols.cases import Case, Expected
from services.protocols.judging.layers import NOT_ASKED, Finding, Flaw
from services.protocols.turn import Answer
from services.protocols.verdict import Fault, LayerName, Span


@dataclass(frozen=True, slots=True)
class CheckedCall:
    """A call whose form was looked at.

    Attributes:
        tool: the tool's own name.
        arguments: its typed arguments; none where they cannot be read.
        span: its place in the answer's text, if it was read from there.
        layer: the first layer of form that it fails; None when its form is right.
        flaw: what is wrong on that layer.
    """

    tool: str
    arguments: Mapping[str, object]
    span: Span | None = None
    layer: LayerName | None = None
    flaw: Flaw | None = None


@dataclass(frozen=True, slots=True)
class Match:
    """A due call, the place of the call that stands for it, if there is one, and what is wrong with that call."""

    due: Expected
    place: int | None = None
    flaw: Flaw | None = None


@dataclass(frozen=True, slots=True)
class CalledAnswer:
    """An answer with calls, as the checks take it, with one match per due call; a judge may add what it needs."""

    case: Case
    answer: Answer
    calls: Sequence[CheckedCall]
    matches: Sequence[Match]

    @property
    def is_well_formed(self) -> bool:
        """Whether the form of every call is right."""
        return all(call.flaw is None for call in self.calls)


Compare = Callable[[Expected, CheckedCall], Flaw | None]
"""From a due call and a call of its tool to what is wrong with the latter; the flaw bears the share that is right."""


def match_calls(due: Sequence[Expected], calls: Sequence[CheckedCall], compare: Compare) -> list[Match]:
    """Return one match per due call, in their order: right calls first, then the nearest of those that are left."""
    left = dict(enumerate(calls))
    matches: dict[int, Match] = {}
    for is_last_round in (False, True):
        for number, expected in enumerate(due):
            if number not in matches:
                match = _nearest(expected, left, compare)
                if is_last_round or (match.place is not None and match.flaw is None):
                    matches[number] = match
                    left.pop(-1 if match.place is None else match.place, None)
    return [matches[number] for number in range(len(due))]


def _nearest(expected: Expected, left: Mapping[int, CheckedCall], compare: Compare) -> Match:
    best = Match(expected)
    for place, call in left.items():
        if call.tool == expected.tool:
            flaw = compare(expected, call)
            if flaw is None:
                return Match(expected, place)
            if best.flaw is None or flaw.share > best.flaw.share:
                best = Match(expected, place, flaw)
    return best


def form_check(name: LayerName, order: Sequence[LayerName]) -> Callable[[CalledAnswer], Finding]:
    """Return the check of one layer of form over all calls; a call whose earlier layer failed is not asked.

    Args:
        name: the layer.
        order: the layers of form in the order in which the judge looks at a call.
    """
    earlier = frozenset(order[: order.index(name)])

    def check(judged: CalledAnswer) -> Finding:
        asked = [call for call in judged.calls if call.layer not in earlier]
        wrong = [call for call in asked if call.layer is name]
        if not asked:
            return NOT_ASKED
        if not wrong or wrong[0].flaw is None:
            return None
        fault, sentence, *_ = wrong[0].flaw
        if fault is Fault.BAD_JSON and judged.answer.finish_reason == "length" and wrong[0] is judged.calls[-1]:
            fault, sentence = Fault.CUT_OFF, "The token limit cut the answer within a call."
        return Flaw(fault, sentence, wrong[0].span, (len(asked) - len(wrong)) / len(asked))

    return check


def right_tool(judged: CalledAnswer) -> Finding:
    """Check that each due call has a call of its tool."""
    absent = [match.due.tool for match in judged.matches if match.place is None]
    if not absent:
        return None
    first, num_due = judged.calls[0], len(judged.matches)
    sentence = f"The task asks for {absent[0]}, not {first.tool[:64]}."
    if any(call.tool == absent[0] for call in judged.calls):
        sentence = f"The task asks for one more call of {absent[0]}."
    elif len(absent) < num_due:
        sentence = f"The task asks for {absent[0]}, which is not called."
    return Flaw(Fault.WRONG_TOOL, sentence, first.span, (num_due - len(absent)) / num_due)


def right_arguments(judged: CalledAnswer) -> Finding:
    """Check the arguments of the calls that stand for due ones; not asked unless the form of all calls is right."""
    matches = [match for match in judged.matches if match.place is not None]
    if not matches or not judged.is_well_formed:
        return NOT_ASKED
    wrong = next((match for match in matches if match.flaw), None)
    if wrong is None or wrong.flaw is None or wrong.place is None:
        return None
    share = sum(match.flaw.share if match.flaw else 1.0 for match in matches) / len(matches)
    sentence = f"In {wrong.due.tool}, {wrong.flaw.sentence}"
    return Flaw(wrong.flaw.fault, sentence, judged.calls[wrong.place].span, share)


def needless(judged: CalledAnswer) -> Finding:
    """Check that no call is left over, once each due call has one."""
    places = {match.place for match in judged.matches}
    surplus = [call for place, call in enumerate(judged.calls) if place not in places]
    if not surplus or None in places:
        return None
    share = (len(judged.calls) - len(surplus)) / len(judged.calls)
    return Flaw(
        Fault.NEEDLESS_CALL, f"The call of {surplus[0].tool[:64] or 'nothing'} is not due.", surplus[0].span, share
    )
