"""From a scenario to a case of this protocol: calls as XML."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import cast

from services.protocols.cases import Case, Expected
from services.protocols.roo.scenarios.nouns import Call, Said, Scenario, Step
from services.protocols.roo_xml.authoring.draft import render_call
from services.protocols.roo_xml.parse import ToolBlock, parse
from services.protocols.roo_xml.tools import typed_arguments
from services.protocols.turn import Answer


def case_of(scenario: Scenario) -> Case:
    """Return the case that `scenario` amounts to."""
    draft = scenario.draft
    answers = [written(step.call) for step in draft.steps]
    expected = _expected(draft.steps[0], answers[0])
    return Case(
        case_id=scenario.scenario_id,
        category=scenario.category,
        tool=expected.tool,
        mode=draft.mode,
        task=scenario.task,
        expected=expected,
        template=scenario.template,
        reference=answers[0],
        files=draft.files,
        open_tabs=draft.open_tabs,
        mcp=draft.mcp,
        todos=draft.todos,
        custom_modes=draft.custom_modes,
        workspace=draft.workspace,
        max_turns=scenario.max_turns,
        history=tuple(Answer(_said(said)) for said in draft.history),
        solution=tuple(map(Answer, answers)) if len(answers) > 1 else (),
        goal=draft.goal,
        results=draft.results,
        denied_tools=draft.denied_tools,
        needs_done_todos=draft.needs_done_todos,
    )


def written(call: Call) -> str:
    """Return a call as XML."""
    return render_call(call.tool, parameters_of(call))


def _expected(step: Step, answer: str) -> Expected:
    block = parse(answer)[0]
    assert isinstance(block, ToolBlock)
    arguments = typed_arguments(block.name, block.params)
    return Expected(block.name, arguments, step.files, step.free_text, step.choices)


def parameters_of(call: Call) -> dict[str, str]:
    """Return the parameters of a call as text, in the order of its arguments."""
    given = call.arguments
    if call.tool == "read_file":
        files = cast(Sequence[Mapping[str, object]], given["files"])
        return {"args": "\n".join(map(_file, files))}
    return {name: _text(name, value) for name, value in given.items()}


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


def _said(said: Said) -> str:
    slip, parts = said.slip, [said.text] if said.text else []
    for call in said.calls:
        parameters = parameters_of(call)
        if slip.kind == "drop":
            parameters.pop(slip.name)
        elif slip.kind == "raw":
            parameters[slip.name] = str(slip.value)
        if slip.kind == "foreign":
            parts.append(json.dumps({"name": call.tool, "arguments": dict(call.arguments)}, ensure_ascii=False))
        else:
            tool = str(slip.value) if slip.kind == "rename" else call.tool
            parts.append(render_call(tool, parameters))
    return "\n".join(parts)
