"""The verdict on a session: every answer by the profile's own judge, then what the client and the workspace say."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from services.protocols.cases import Case, Expected, Goal
from services.protocols.session.client import Client
from services.protocols.session.memory import case_at, forgive, state_of
from services.protocols.session.session import Stop, Transcript, Turn
from services.protocols.turn import Answer, CallOutcome, ClientState, ToolCall, TurnOutcome
from services.protocols.verdict import (
    FORM_LAYERS,
    Fault,
    Layer,
    LayerName,
    LayerStatus,
    Verdict,
    fault_of_code,
    passed,
    verdict_of,
)

_STOPS: dict[Stop | None, tuple[Fault, str]] = {
    "mistake_limit": (Fault.MISTAKE_LIMIT, "The client stopped: too many mistakes in a row."),
    "repetition": (Fault.REPEATED_CALL, "The client stopped: the same call came again and again."),
    "turn_budget": (Fault.TURN_BUDGET, "The turns ran out before the task was done."),
    None: (Fault.STOPPED, "The session ended before the task was done."),
}


def judge_session(client: Client, case: Case, transcript: Transcript) -> Verdict:
    """Return the verdict on a session.

    On a case of one turn it is the profile's verdict on the first answer. On a case of several turns the layers of form
    and the effect must hold in every turn; `right_tool` asks for the goal's tools and calls, `task_done` for the
    completion and the final workspace. The place of a failure is in the answer that its layer's `turn` counts.
    """
    turns = transcript.turns
    if not turns:
        return verdict_of((_not_done(transcript.stop),), accepted=False, tool=None)
    if case.max_turns == 1 and case.goal is None:
        return client.judge(case, turns[0].answer)
    state = _state_after_history(client, case)
    goal, files = case.goal or Goal(), dict(state.files)
    layers_by_name, untrue = dict[LayerName, list[Layer]](), dict[str, tuple[int, str]]()
    for number, turn in enumerate(turns):
        for layer in _layers_of_turn(client, case, state, turn.answer):
            layers_by_name.setdefault(layer.name, []).append(replace(layer, turn=number))
        for item, sentence in _untrue_marks(goal, state):
            untrue.setdefault(item, (number, sentence))
    work = {layer.name: layer for layer in layers_of_calls(client, case, turns)}
    if goal.tools and (tool_layer := _right_tools(goal, turns)).status is LayerStatus.FAILED:
        work[LayerName.RIGHT_TOOL] = tool_layer
    elif goal.tools:
        work.setdefault(LayerName.RIGHT_TOOL, tool_layer)
    layers = (*map(_merged, layers_by_name.values()), *work.values(), _task_done(goal, files, transcript, untrue))
    accepted = all(_is_accepted(turn.outcome) for turn in turns)
    tool = next((call.tool for turn in turns for call in turn.outcome.calls), None)
    verdict = verdict_of(layers, accepted=accepted, tool=tool)
    return replace(verdict, sentence="The task is done as it was asked for.") if verdict.conforming else verdict


def judge_after_history(client: Client, case: Case, answer: Answer) -> Verdict:
    """Return the verdict on the answer that follows the case's history."""
    state = _state_after_history(client, case)
    verdict = client.judge(case_at(case, state), answer)
    outcome = client.take_turn(state, answer)
    layers = {layer.name: layer for layer in verdict.layers}
    layers.update({layer.name: layer for layer in _clients_findings(verdict, outcome)})
    accepted = verdict.accepted and all(call.verdict != "failed" for call in outcome.calls)
    return verdict_of(tuple(layers[name] for name in LayerName), accepted=accepted, tool=verdict.tool)


def _state_after_history(client: Client, case: Case) -> ClientState:
    state = state_of(case)
    for answer in case.history:
        client.take_turn(state, answer)
        forgive(state)
    return state


def _layers_of_turn(client: Client, case: Case, state: ClientState, answer: Answer) -> Iterator[Layer]:
    verdict = client.judge(case_at(case, state), answer)
    outcome = client.take_turn(state, answer)
    if outcome.completed is not None and not outcome.used_tool:
        return
    own = {layer.name: layer for layer in verdict.layers if layer.name in FORM_LAYERS}
    if outcome.used_tool:
        own[LayerName.EFFECT] = passed(LayerName.EFFECT)
    own.update({layer.name: layer for layer in _clients_findings(verdict, outcome)})
    yield from own.values()


def _clients_findings(verdict: Verdict, outcome: TurnOutcome) -> Iterator[Layer]:
    """Yield the layers that failed by the client's word alone; what the judge found in the form goes first."""
    if any(layer.status is LayerStatus.FAILED and layer.name in FORM_LAYERS for layer in verdict.layers):
        return
    failed = {layer.name for layer in verdict.layers if layer.status is LayerStatus.FAILED}
    for call in outcome.calls:
        for code in (*call.codes, *(["some_parts_failed"] if call.is_partial else [])):
            meaning = fault_of_code(code)
            if meaning and meaning[0] not in failed:
                failed.add(meaning[0])
                yield Layer(meaning[0], LayerStatus.FAILED, meaning[1], _sentence(call, code))


def _sentence(call: CallOutcome, code: str) -> str:
    if code in call.codes:
        return f"The client answers {call.tool} with {code}."
    return f"The client did only a part of {call.tool}."


def _merged(layers: Sequence[Layer]) -> Layer:
    applicable = [layer for layer in layers if layer.status is not LayerStatus.NOT_APPLICABLE]
    failed = [layer for layer in applicable if layer.status is LayerStatus.FAILED]
    if not failed:
        return passed(layers[0].name) if applicable else layers[0]
    first, share = failed[0], (len(applicable) - len(failed)) / len(applicable)
    return replace(first, detail=f"Answer {first.turn + 1}: {first.detail}", measured=share)


def _is_accepted(outcome: TurnOutcome) -> bool:
    return outcome.completed is not None or (
        outcome.used_tool and all(call.verdict != "failed" for call in outcome.calls)
    )


def _right_tools(goal: Goal, turns: Sequence[Turn]) -> Layer:
    used = {call.tool for turn in turns for call in turn.outcome.calls if call.verdict == "accepted"}
    missing = [tool for tool in goal.tools if tool not in used]
    if not missing:
        return passed(LayerName.RIGHT_TOOL)
    share = (len(goal.tools) - len(missing)) / len(goal.tools)
    sentence = f"The task asks for {missing[0]}, which did no work."
    return Layer(LayerName.RIGHT_TOOL, LayerStatus.FAILED, Fault.WRONG_TOOL, sentence, None, share)


def _not_done(stop: Stop | None) -> Layer:
    return Layer(LayerName.TASK_DONE, LayerStatus.FAILED, *_STOPS[stop])


def _untrue_marks(goal: Goal, state: ClientState) -> Iterator[tuple[str, str]]:
    for status, item in state.todos or ():
        path = goal.todo_files.get(item) if status == "completed" else None
        if path is not None and _file_problem(path, goal.files.get(path), state.files.get(path)):
            yield item, f"{item!r} is marked completed while {path} is not what the task asks for."


def _task_done(goal: Goal, before: dict[str, str], transcript: Transcript, untrue: dict[str, tuple[int, str]]) -> Layer:
    last = len(transcript.turns) - 1
    if transcript.stop != "completed":
        return replace(_not_done(transcript.stop), turn=last)
    checks = [(last, sentence) for sentence in _checks(goal, before, transcript)]
    checks += [untrue.get(item, (last, "")) for item in goal.todo_files]
    wrong = [(turn, sentence) for turn, sentence in checks if sentence]
    if not wrong:
        return passed(LayerName.TASK_DONE)
    share, (turn, sentence) = (len(checks) - len(wrong)) / len(checks), wrong[0]
    return Layer(LayerName.TASK_DONE, LayerStatus.FAILED, Fault.WRONG_RESULT, sentence, None, share, turn)


def _checks(goal: Goal, before: dict[str, str], transcript: Transcript) -> Iterator[str]:
    due: dict[str, str | None] = {**before, **goal.files}
    for path in sorted({*due, *transcript.files}):
        yield _file_problem(path, due.get(path), transcript.files.get(path))
    result = transcript.turns[-1].outcome.completed or ""
    for mention in goal.mentions:
        there = re.search(rf"(?<!\w){re.escape(mention)}(?!\w)", result)
        yield "" if there else f"The result does not mention {mention!r}."
    if goal.todos is not None:
        yield "" if goal.todos == (transcript.todos or ()) else "The checklist is not the one that is asked for."


def _file_problem(path: str, due: str | None, layers_by_name: str | None) -> str:
    if due is None:
        return "" if layers_by_name is None else f"{path} is there, though it should not be."
    if layers_by_name is None:
        return f"{path} is not there."
    return "" if due.rstrip("\r\n") == layers_by_name.rstrip("\r\n") else f"{path} is not what the task asks for."


_ASKED = (LayerName.RIGHT_TOOL, LayerName.RIGHT_ARGUMENTS, LayerName.NO_NEEDLESS_CALL)


def layers_of_calls(client: Client, case: Case, turns: Sequence[Turn]) -> list[Layer]:
    """Return what the profile's judge says of the goal's calls, were all work of the session one answer.

    Work of the goal's tools is left out, unless a call of the goal has the same tool.
    """
    if case.goal is None or case.goal.calls is None:
        return []
    due_calls = case.goal.calls
    free = set(case.goal.tools) - {due.tool for due in due_calls}
    work = [(number, call) for number, turn in enumerate(turns) for call in _work_of(turn) if call.name not in free]
    if not work:
        return [_nothing_done(due_calls, len(turns) - 1)] if due_calls else []
    # The judge names the guilty call by its span, so the calls get places in their order for spans.
    placed = tuple(replace(call, span=(place, place + 1)) for place, (_, call) in enumerate(work))
    due = replace(due_calls[0], further=due_calls[1:]) if due_calls else Expected("", no_call=True)
    verdict = client.judge(replace(case, expected=due, history=(), max_turns=1, goal=None), Answer("", placed))
    judged_layers = (layer for layer in verdict.layers if layer.name in _ASKED)
    return [_in_its_answer(layer, work) for layer in judged_layers if layer.status is not LayerStatus.NOT_APPLICABLE]


def _work_of(turn: Turn) -> list[ToolCall]:
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
