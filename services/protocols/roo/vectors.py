"""What the conformance vectors of both clients ask: from a vector's input to what its `expected` must equal."""

from collections.abc import Callable, Mapping
from typing import Any

from services.protocols.cases import McpServer
from services.protocols.roo.checklist import read_checklist
from services.protocols.roo.diff.apply import apply_diff
from services.protocols.roo.modes import ToolRules, find_mode, refusal
from services.protocols.roo.normal_forms import is_outside, same_path
from services.protocols.turn import ClientState, TurnOutcome

Input = Mapping[str, Any]


def applied_diff(vector: Input) -> object:
    """Return what a diff does to a file."""
    outcome = apply_diff(vector["original"], vector["diff"], threshold=vector.get("threshold", 1.0))
    ending = {"code": outcome.fault} if outcome.content is None else {"content": outcome.content}
    failed = [{"code": block.fault} for block in outcome.failed]
    return {"applied": outcome.content is not None, "failed": failed, **ending}


def permission(vector: Input, rules: ToolRules) -> object:
    """Return whether a mode lets a tool through."""
    code = refusal(
        vector["tool"],
        find_mode(vector["mode"], vector.get("custom_modes", ())),
        vector.get("params", {}),
        included_tools=vector.get("included_tools", ()),
        requirements=vector.get("requirements", {}),
        rules=rules,
    )
    return {"allowed": False, "code": code} if code else {"allowed": True}


def checklist(vector: Input) -> object:
    """Return the items of a checklist."""
    return {"items": [list(item) for item in read_checklist(vector["text"])[0]]}


def turn_result(vector: Input, take_turn: Callable[[ClientState], TurnOutcome]) -> object:
    """Return what the client makes of one answer of a user who denies every command and allows everything else."""
    files = {same_path(path): text for path, text in vector.get("files", {}).items()}
    state = ClientState(
        mode=vector.get("mode", "code"),
        files=dict(files),
        mcp=tuple(McpServer(server["name"], tuple(server["tools"])) for server in vector.get("mcp", ())),
        custom_modes=tuple(vector.get("custom_modes", ())),
        model_id=vector.get("model_id", "local-model"),
        mistakes=vector.get("mistakes", 0),
        denied_tools=frozenset(("execute_command",)),
        included_tools=frozenset(vector.get("included_tools", ())),
    )
    outcome = take_turn(state)
    if not outcome.used_tool:
        return {"used_tool": False, "codes": list(outcome.codes)}
    return {
        "used_tool": True,
        "calls": [{"tool": call.tool, "verdict": call.verdict, "codes": list(call.codes)} for call in outcome.calls],
        "mistakes": state.mistakes,
        "turn_failed": outcome.turn_failed,
        "attempts": outcome.attempts,
        "failures": outcome.failures,
        "mode_after": state.mode,
        "files_changed": {
            path: text for path, text in state.files.items() if files.get(path) != text and not is_outside(path)
        },
        **({} if state.todos is None else {"todos": [list(item) for item in state.todos]}),
    }
