"""What the client remembers, made from a case, and the case as it stands for what the client remembers."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from services.protocols.cases import Case
from services.protocols.turn import ClientState


def state_of(case: Case) -> ClientState:
    """Return what the client knows when `case` begins; files that its right answer reads exist."""
    paths = (*case.workspace, *case.open_tabs, *_read_paths(case))
    return ClientState(
        mode=case.mode,
        files=dict(case.files),
        paths=frozenset(path for path in paths if path not in case.files),
        mcp=case.mcp,
        custom_modes=case.custom_modes,
        todos=list(case.todos) or None,
        denied_tools=frozenset(case.denied_tools),
        included_tools=frozenset(case.included_tools),
        needs_done_todos=case.needs_done_todos,
        results=case.results,
        tools=case.tools,
        effects=case.effects,
    )


def case_at(case: Case, state: ClientState) -> Case:
    """Return `case` as it stands for a client that remembers `state`: one turn, no history."""
    return replace(
        case,
        mode=state.mode,
        files=dict(state.files),
        todos=tuple(state.todos or ()),
        workspace=tuple(dict.fromkeys((*case.workspace, *state.files))),
        history=(),
        max_turns=1,
    )


def forgive(state: ClientState) -> None:
    """Reset the mistake counter when it has reached its limit, as the person's guidance does."""
    if 0 < state.mistake_limit <= state.mistakes:
        state.mistakes = 0


def is_repeated_too_often(state: ClientState, call: str) -> bool:
    """Note `call` in `state` and return whether it is one too many in a row; counting starts anew after that.

    Args:
        state: its `mistake_limit` is the number of identical calls that pass; 0 stands for no limit.
        call: the call's canonical form.
    """
    if call == state.last_call:
        state.identical_calls += 1
    else:
        state.last_call, state.identical_calls = call, 1
    if not 0 < state.mistake_limit < state.identical_calls:
        return False
    state.last_call, state.identical_calls = "", 0
    return True


def call_key(name: str, arguments: object) -> str:
    """Return the key under which a case keeps what a call of these arguments answers."""
    return f"{name} {json.dumps(arguments, sort_keys=True, separators=(',', ':'), ensure_ascii=False)}"


def _read_paths(case: Case) -> Iterator[str]:
    for call in case.expected.due:
        listed = call.arguments.get("files")
        for entry in listed if isinstance(listed, Sequence) and not isinstance(listed, str) else ():
            if isinstance(entry, Mapping) and isinstance(entry.get("path"), str):
                yield entry["path"]
        path = call.arguments.get("path")
        if call.tool == "read_file" and isinstance(path, str):
            yield path
