"""What the client does with one answer: it runs the first call and refuses the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from cline_profile.edits import BadEdit, apply_blocks
from cline_profile.parse import Call, parse
from cline_profile.tools import TOOLS
from services.protocols.turn import Answer, CallOutcome, ClientState, Message, TurnOutcome

_NO_TOOL = "Your answer used no tool. Write exactly one call, or complete the task with attempt_completion."


class Refusal(ValueError):
    """The client answers a call with an error.

    Attributes:
        code: the error in a stable word.
    """

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


def take_turn(state: ClientState, answer: Answer) -> TurnOutcome:
    """Run the first call of `answer`; `state` is changed in place."""
    calls = parse(answer.text)
    if not calls:
        state.mistakes += 1
        return TurnOutcome(codes=("no_tool",))
    first = calls[0]
    skipped = (
        CallOutcome(call.name, "skipped", ("second_tool",), "Only one tool runs per answer.") for call in calls[1:]
    )
    try:
        reply = run(state, first)
    except Refusal as refusal:
        state.mistakes += 1
        failed = CallOutcome(first.name, "failed", (refusal.code,), f"Error: {refusal}")
        return TurnOutcome((failed, *skipped), True, {first.name: 1}, {first.name: 1})
    state.mistakes = 0
    done = first.params["result"] if first.name == "attempt_completion" else None
    return TurnOutcome((CallOutcome(first.name, "accepted", (), reply), *skipped), False, {first.name: 1}, {}, done)


def replies(state: ClientState, outcome: TurnOutcome) -> list[Message]:
    """Return the one message that follows an answer."""
    parts = [f"[{call.tool}] Result:\n{call.reply}" for call in outcome.calls] or [_NO_TOOL]
    environment = f"<environment_details>\n# Current Mode\n{state.mode.upper()} MODE\n</environment_details>"
    return [{"role": "user", "content": "\n\n".join((*parts, environment))}]


def run(state: ClientState, call: Call) -> str:
    """Do what the call asks, and return what the model reads of it.

    Raises:
        Refusal: the client answers it with an error.
    """
    if state.mode not in TOOLS[call.name].modes:
        raise Refusal("not_allowed_in_mode", f"{call.name} is not offered in {state.mode} mode")
    for name in TOOLS[call.name].required:
        if not call.params.get(name, "").strip() and name != "content":
            raise Refusal(f"missing_param:{name}", f"{call.name} lacks {name}")
    return _RUNS[call.name](state, call.params)


def _read_file(state: ClientState, params: Mapping[str, str]) -> str:
    if params["path"] not in state.files:
        raise Refusal("file_not_found", f"there is no file {params['path']}")
    return state.files[params["path"]]


def _list_files(state: ClientState, params: Mapping[str, str]) -> str:
    folder = params["path"].rstrip("/")
    prefix = "" if folder in ("", ".") else f"{folder}/"
    return "\n".join(path for path in sorted({*state.files, *state.paths}) if path.startswith(prefix)) or "No files."


def _write_to_file(state: ClientState, params: Mapping[str, str]) -> str:
    state.files[params["path"]] = params.get("content", "")
    return f"{params['path']} is written."


def _replace_in_file(state: ClientState, params: Mapping[str, str]) -> str:
    try:
        state.files[params["path"]] = apply_blocks(_read_file(state, params), params["diff"])
    except BadEdit as error:
        raise Refusal(error.code, str(error)) from error
    return f"{params['path']} is changed."


def _execute_command(state: ClientState, params: Mapping[str, str]) -> str:
    if params["requires_approval"].lower() not in ("true", "false"):
        raise Refusal("bad_value", "requires_approval must be true or false")
    return state.results.get(params["command"], "The command ran without output.")


def _said(state: ClientState, params: Mapping[str, str]) -> str:
    return "The person has read it."


_RUNS: Mapping[str, Callable[[ClientState, Mapping[str, str]], str]] = MappingProxyType(
    {
        "read_file": _read_file,
        "list_files": _list_files,
        "write_to_file": _write_to_file,
        "replace_in_file": _replace_in_file,
        "execute_command": _execute_command,
        "ask_followup_question": _said,
        "attempt_completion": _said,
        "plan_mode_respond": _said,
    }
)
