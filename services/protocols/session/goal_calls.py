"""The calls that a goal asks for, looked for among all that did their work in a session."""

from collections.abc import Sequence
from dataclasses import replace

from services.protocols.cases import Case, Expected
from services.protocols.session.client import Client
from services.protocols.session.session import Turn
from services.protocols.turn import Answer, ToolCall
from services.protocols.verdict import Fault, Layer, LayerName, LayerStatus

_ASKED = (LayerName.RIGHT_TOOL, LayerName.RIGHT_ARGUMENTS, LayerName.NO_NEEDLESS_CALL)


def layers_of_calls(client: Client, case: Case, turns: Sequence[Turn]) -> list[Layer]:
    """Return what the profile's judge says of the goal's calls, were all work of the session one answer.

    Work of the goal's tools is left out, unless a call of the goal has the same tool.
    """
    if case.goal is None or case.goal.calls is None:
        return []
    due_calls = case.goal.calls
    free = set(case.goal.tools) - {due.tool for due in due_calls}
    work = [(number, call) for number, turn in enumerate(turns) for call in _work(turn) if call.name not in free]
    if not work:
        return [_nothing_done(due_calls, len(turns) - 1)] if due_calls else []
    # The judge names the guilty call by its span, so the calls get places in their order for spans.
    placed = tuple(replace(call, span=(place, place + 1)) for place, (_, call) in enumerate(work))
    due = replace(due_calls[0], further=due_calls[1:]) if due_calls else Expected("", no_call=True)
    verdict = client.judge(replace(case, expected=due, history=(), max_turns=1, goal=None), Answer("", placed))
    judged_layers = (layer for layer in verdict.layers if layer.name in _ASKED)
    return [_in_its_answer(layer, work) for layer in judged_layers if layer.status is not LayerStatus.NOT_APPLICABLE]


def _work(turn: Turn) -> list[ToolCall]:
    calls = (call for call in turn.outcome.calls if call.verdict == "accepted")
    done = {call.call_id: call.tool for call in calls if not call.codes and not call.is_partial}
    return [replace(call, name=done[call.call_id]) for call in turn.answer.calls if call.call_id in done]


def _nothing_done(due_calls: Sequence[Expected], turn: int) -> Layer:
    sentence = f"The task asks for {due_calls[0].tool}, which did no work."
    return Layer(LayerName.RIGHT_TOOL, LayerStatus.FAILED, Fault.WRONG_TOOL, sentence, measured=0.0, turn=turn)


def _in_its_answer(layer: Layer, work: Sequence[tuple[int, ToolCall]]) -> Layer:
    """Return the layer with the guilty call's place; a call that is missing has none."""
    if layer.name is LayerName.RIGHT_TOOL or layer.span is None:
        return replace(layer, span=None, turn=work[-1][0])
    turn, call = work[layer.span[0]]
    return replace(layer, span=call.span, turn=turn, detail=f"Answer {turn + 1}: {layer.detail}")
