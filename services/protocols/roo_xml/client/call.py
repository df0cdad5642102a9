"""One call on the client's desk, and what came of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from services.protocols.roo.ignored_files import IgnoreRules
from services.protocols.roo.paths import same_path
from services.protocols.roo.workspace import is_known_folder, rules_of
from services.protocols.roo_xml.arguments import typed_arguments
from services.protocols.roo_xml.editions import REFERENCE, Edition
from services.protocols.session import call_key
from services.protocols.turn import CallVerdict, ClientState

Reply = Callable[[], str]
"""Text for the model, made only when it is asked for."""

Counter = Literal["keep", "reset", "mistake"]


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one call.

    Attributes:
        counter: what becomes of the counter of consecutive mistakes.
        records_failure: the failure is recorded in the tool usage.
        fails_turn: the turn is marked as failed, by a client that knows such a mark.
        is_silent: the client hands no result to the model, so a further call may follow.
        is_denied: the user said no, so no further call is looked at.
        completed: the result that an accepted completion told.
    """

    verdict: CallVerdict
    codes: tuple[str, ...] = ()
    reply: Reply = str
    counter: Counter = "keep"
    records_failure: bool = False
    fails_turn: bool = False
    is_silent: bool = False
    is_denied: bool = False
    completed: str | None = None


@dataclass(slots=True)
class Call:
    """A call with what the client knows when it looks at it.

    Attributes:
        turn_failed: an earlier call of the turn has failed it.
    """

    tool: str
    params: Mapping[str, str]
    state: ClientState
    edition: Edition = REFERENCE
    turn_failed: bool = False

    @property
    def rules(self) -> IgnoreRules:
        """The workspace's ignore rules."""
        return rules_of(self.state)

    @property
    def path(self) -> str:
        """The parameter `path` in the spelling of `same_path`."""
        return same_path(self.params["path"])

    @property
    def names_folder(self) -> bool:
        """Whether `path` is a folder."""
        return is_known_folder(self.state, self.path)

    def lacks(self, *names: str) -> str | None:
        """Return the first of the parameters that is absent or empty."""
        return next((name for name in names if not self.params.get(name)), None)

    def offered(self, do: Callable[[], Reply], counter: Counter = "reset") -> Result:
        """Return the result of a call that passed its checks: the user decides, then `do` does the work."""
        if self.tool in self.state.denied_tools:
            return Result("accepted", ("denied_by_user",), denial, counter, is_denied=True)
        return Result("accepted", (), do(), counter)

    def answer_of_case(self, default: str) -> str:
        """Return what the case says that this call answers, or `default`."""
        results = self.state.results
        if not results:
            return default
        arguments = typed_arguments(self.tool, self.params)
        keys = (call_key(self.tool, arguments), call_key(self.tool, _with_objects(arguments)), self.tool)
        return next((results[key] for key in keys if key in results), default)


def _with_objects(arguments: Mapping[str, object]) -> dict[str, object]:
    """Return `arguments` with the arguments for a server's tool as what their JSON says."""
    inner = arguments.get("arguments")
    if not isinstance(inner, str):
        return dict(arguments)
    try:
        return {**arguments, "arguments": json.loads(inner)}
    except (ValueError, RecursionError):
        return dict(arguments)


def denial() -> str:
    """Return what the model hears when the user says no."""
    return "The user did not allow this."


def error(sentence: str) -> str:
    """Return an error in the form that the client gives its errors."""
    return f"The call could not be carried out:\n<error>\n{sentence}\n</error>"


def failed(
    code: str, sentence: str, counter: Counter = "keep", *, records_failure: bool = False, fails_turn: bool = False
) -> Result:
    """Return the result of a call that is answered with an error."""
    return Result("failed", (code,), lambda: error(sentence), counter, records_failure, fails_turn)


def missing(call: Call, parameter: str, *, fails_turn: bool = False, records_failure: bool = True) -> Result:
    """Return the result of a call that lacks a parameter."""
    sentence = f"{call.tool} needs a value for {parameter}.\n\n{form_of(call, parameter)}"
    return failed(
        f"missing_param:{parameter}", sentence, "mistake", records_failure=records_failure, fails_turn=fails_turn
    )


def form_of(call: Call, parameter: str) -> str:
    """Return a reminder of how the call is written: as usual, or with one parameter that it usually does not take."""
    spec = call.edition.tools[call.tool]
    names = (*spec.required, *spec.demanded) if parameter in spec.parameters else (parameter,)
    inner = "\n".join(f"<{name}>...</{name}>" for name in names)
    return f"It is written like this, and stands last in the answer:\n<{call.tool}>\n{inner}\n</{call.tool}>"
