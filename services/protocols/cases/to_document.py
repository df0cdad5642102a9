"""Cases and answers as JSON documents."""

from services.protocols.cases.case import Case, Choice, Expected, Goal
from services.protocols.cases.scoring import scoring_to_document
from services.protocols.turn import Answer

Document = dict[str, object]


def case_to_document(case: Case) -> Document:
    """Return the JSON document of `case`; empty collections and defaults are left out."""
    document: Document = {
        "case_id": case.case_id,
        "category": case.category,
        "tool": case.tool,
        "mode": case.mode,
        "template": case.template,
        "task": case.task,
        "files": dict(case.files),
        "open_tabs": list(case.open_tabs),
        "workspace": list(case.workspace),
        "mcp": [{"name": server.name, "tools": list(server.tools)} for server in case.mcp],
        "todos": [list(item) for item in case.todos],
        "custom_modes": [dict(mode) for mode in case.custom_modes],
        "tools": [dict(tool) for tool in case.tools],
        "results": dict(case.results),
        "denied_tools": list(case.denied_tools),
        "included_tools": list(case.included_tools),
        "excluded_tools": list(case.excluded_tools),
        "needs_done_todos": case.needs_done_todos or [],
        "effects": {
            name: {"kind": effect.kind, "arguments": dict(effect.arguments)} for name, effect in case.effects.items()
        },
        "prompt": [{"role": role, "content": content} for role, content in case.prompt],
        "scoring": scoring_to_document(case.scoring) if case.scoring else [],
        "history": [answer_to_document(answer) for answer in case.history],
        "max_turns": case.max_turns if case.max_turns > 1 else [],
        "goal": _goal_document(case.goal) if case.goal else [],
        "expected": _expected_document(case.expected),
        "reference": case.reference,
        "solution": [answer_to_document(answer) for answer in case.solution],
    }
    return {key: value for key, value in document.items() if value not in ({}, [])}


def answer_to_document(answer: Answer) -> Document:
    """Return the JSON document of `answer`; defaults are left out."""
    calls = [{"name": call.name, "arguments": call.arguments, "call_id": call.call_id} for call in answer.calls]
    document: Document = {"text": answer.text}
    if calls:
        document["calls"] = calls
    if answer.finish_reason != "stop":
        document["finish_reason"] = answer.finish_reason
    return document


def _expected_document(expected: Expected) -> Document:
    document: Document = {
        "tool": expected.tool,
        "arguments": dict(expected.arguments),
        "files": dict(expected.files),
        "free_text": [
            {"argument": rule.argument, "mentions": list(rule.mentions), "question": rule.question}
            for rule in expected.free_text
        ],
    }
    if expected.choices:
        document["choices"] = [_choice_document(choice) for choice in expected.choices]
    if expected.further:
        document["further"] = [_expected_document(call) for call in expected.further]
    if expected.no_call:
        document["no_call"] = True
    return document


def _choice_document(choice: Choice) -> Document:
    document: Document = {"argument": choice.argument, "values": list(choice.values), "optional": choice.optional}
    return {**document, **{name: True for name in ("loose", "nested") if getattr(choice, name)}}


def _goal_document(goal: Goal) -> Document:
    document: Document = {
        "files": dict(goal.files),
        "mentions": list(goal.mentions),
        "tools": list(goal.tools),
        "todos": None if goal.todos is None else [list(item) for item in goal.todos],
        "calls": None if goal.calls is None else [_expected_document(call) for call in goal.calls],
        "todo_files": dict(goal.todo_files),
    }
    kept = ("todos", "calls")
    return {key: value for key, value in document.items() if value or (key in kept and value is not None)}
