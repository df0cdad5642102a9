"""What calls do to a case's documents, where the case says how they are to stand afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from services.protocols.cases import Case, Expected
from services.protocols.openai_tools.client.effects import Answered, take_effect
from services.protocols.openai_tools.comparison import Call
from services.protocols.turn import ClientState
from services.protocols.verdict import Fault, Layer, LayerName, LayerStatus, fault_of_code, passed


def without_texts(case: Case, calls: Sequence[Call]) -> tuple[list[Expected], list[Call]]:
    """Return the due calls and `calls` without the arguments whose effect is compared instead: all but the path."""
    names = {due.tool: _texts(case, due.tool) for due in case.expected.due if due.files}
    due = [replace(one, arguments=_left(one.arguments, names.get(one.tool, ()))) for one in case.expected.due]
    return due, [replace(one, arguments=_left(one.arguments, names.get(one.name, ()))) for one in calls]


def _texts(case: Case, tool: str) -> tuple[str, ...]:
    effect = case.effects.get(tool)
    return tuple(name for purpose, name in effect.arguments.items() if purpose != "path") if effect else ()


def _left(arguments: Mapping[str, object], taken: Sequence[str]) -> dict[str, object]:
    return {name: value for name, value in arguments.items() if name not in taken}


def effect_layer(case: Case, calls: Sequence[Call]) -> Layer | None:
    """Return whether the documents are as they should be after `calls`; None where the case does not say.

    A break of the last line counts for nothing.
    """
    wanted = {path: text for due in case.expected.due for path, text in due.files.items()}
    if not wanted:
        return None
    state = ClientState(files=dict(case.files))
    for call in calls:
        effect = case.effects.get(call.name)
        answered = take_effect(effect, call.arguments, state) if effect else Answered("")
        if meaning := fault_of_code(answered.code) if answered.code else None:
            return Layer(LayerName.EFFECT, LayerStatus.FAILED, meaning[1], answered.text)
    wanted = {**case.files, **wanted}
    paths = sorted({*wanted, *state.files})
    wrong = [path for path in paths if _ended(wanted.get(path)) != _ended(state.files.get(path))]
    if not wrong:
        return passed(LayerName.EFFECT)
    sentence, share = f"{wrong[0]} is not what the task asks for.", (len(paths) - len(wrong)) / len(paths)
    return Layer(LayerName.EFFECT, LayerStatus.FAILED, Fault.WRONG_RESULT, sentence, measured=share)


def _ended(text: str | None) -> str | None:
    return None if text is None else text.rstrip("\r\n")
