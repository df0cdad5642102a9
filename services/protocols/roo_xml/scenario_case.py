"""From a scenario to a case of this protocol: calls as XML."""

import json
from collections.abc import Mapping, Sequence
from typing import cast

from services.protocols.cases import Case, Expected
from services.protocols.material.scenario import Said, Scenario, Step
from services.protocols.roo_xml.parse import ToolBlock, parse
from services.protocols.roo_xml.tools import typed_arguments
from services.protocols.turn import Answer

SPARE_TURNS = 3
_BLOCK_PARAMETERS = frozenset(("args", "content", "diff", "follow_up", "todos", "result"))


def case_of(scenario: Scenario) -> Case:
    """Return the case that `scenario` amounts to."""
    steps = scenario.draft.steps
    answers = [written_call(step.tool, parameters_of(step)) for step in steps]
    block = parse(answers[0])[0]
    assert isinstance(block, ToolBlock)
    arguments = typed_arguments(block.name, block.params)
    return scenario.to_case(
        Expected(block.name, arguments, steps[0].files, steps[0].free_text, steps[0].choices),
        answers[0],
        history=[said if isinstance(said, Answer) else Answer(_text_of(said)) for said in scenario.draft.history],
        solution=[Answer(answer) for answer in answers] if len(answers) > 1 else (),
        spare_turns=SPARE_TURNS,
    )


def written_call(tool: str, parameters: Mapping[str, str]) -> str:
    """Return the call as XML, laid out as the prompt shows it."""
    lines = [f"<{tool}>"]
    for name, value in parameters.items():
        gap = "\n" if name in _BLOCK_PARAMETERS else ""
        lines.append(f"<{name}>{gap}{value}{gap}</{name}>")
    return "\n".join([*lines, f"</{tool}>"])


def parameters_of(step: Step) -> dict[str, str]:
    """Return the parameters of a call as text, in the order of its arguments."""
    if step.tool == "read_file":
        return {"args": "\n".join(map(_file, cast(Sequence[Mapping[str, object]], step.arguments["files"])))}
    return {name: _text(name, value) for name, value in step.arguments.items()}


def _text(name: str, value: object) -> str:
    if name == "follow_up":
        entries = cast(Sequence[Mapping[str, str]], value)
        return "\n".join(f"<suggest>{entry['text']}</suggest>" for entry in entries)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _file(file: Mapping[str, object]) -> str:
    ranges = cast(Sequence[Sequence[int]], file["line_ranges"])
    lines = "".join(f"<line_range>{first}-{last}</line_range>\n" for first, last in ranges)
    path = str(file["path"]).replace("&", "&amp;").replace("<", "&lt;")
    return f"<file>\n<path>{path}</path>\n{lines}</file>"


def _text_of(said: Said) -> str:
    slip, parts = said.slip, [said.text] if said.text else []
    for step in said.calls:
        parameters = parameters_of(step)
        if slip.kind == "drop":
            parameters.pop(slip.name)
        elif slip.kind == "raw":
            parameters[slip.name] = str(slip.value)
        if slip.kind == "foreign":
            parts.append(json.dumps({"name": step.tool, "arguments": dict(step.arguments)}, ensure_ascii=False))
        else:
            parts.append(written_call(str(slip.value) if slip.kind == "rename" else step.tool, parameters))
    return "\n".join(parts)
