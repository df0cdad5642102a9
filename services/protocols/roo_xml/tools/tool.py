"""What is known of a tool, and one call of it in the client's hands."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from services.protocols.javascript.text import SPACES
from services.protocols.roo.ignored_files import IgnoreRules
from services.protocols.roo.modes import Refusal, ToolRules, find_mode, refusal
from services.protocols.roo.normal_forms import same_path, trimmed
from services.protocols.roo.workspace import is_known_folder, rules_of
from services.protocols.session import call_key
from services.protocols.turn import CallVerdict, ClientState
from services.protocols.verdict import Fault

Params = Mapping[str, str]
Arguments = dict[str, object]
Number = int | float
"""A double, given as int as long as it stands for that number alone."""

Reply = Callable[[], str]
"""Text for the model, made only when it is asked for."""

Counter = Literal["keep", "reset", "mistake"]
Problem = tuple[Fault, str]
"""What is wrong, and one sentence on it."""

_LEADING_INT = re.compile(rf"[{SPACES}]*([+-]?[0-9]+)")
_MAX_EXACT = 2**53


@dataclass(frozen=True, slots=True)
class Argument:
    """One typed argument of a tool.

    Attributes:
        read: what the client makes of the parameter's text, where that is more than the text; None counts as absent.
        normal: the form in which two values are compared.
        by_effect: it is right when what the call does to the files is right.
    """

    read: Callable[[str], object] | None = None
    normal: Callable[[object], object] = trimmed
    by_effect: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """All that is known of one tool; its description is in `prompts/full.txt`.

    Attributes:
        run: what the client does with a call.
        required: parameters without which the client refuses the call.
        demanded: parameters that the prompt demands beyond those.
        optional: parameters that may be left out.
        ignored: parameters of an older form, which the client still reads and makes nothing of.
        group: the group of a mode's tools that it belongs to; every mode offers a tool without one.
        is_opt_in: allowed only where the model's own settings include it.
        is_drilled: the built-in suites and the training data cover it.
        filled: parameters that must not be empty, which the client sees to before anything else.
        lack_fails_turn: the turn fails where one of `filled` is missing.
        records_lack: the failure is recorded in the tool usage where one of `filled` is missing.
        arguments: those that are more than their text, by name.
        read_arguments: makes the typed arguments, where they are not one for each parameter.
        problem: what the prompt demands of the values; where the client drops things silently, that is stricter.
        title: how a result is headed behind the tool's name: the parameter that matters most, or a text of its own.
    """

    name: str
    run: Callable[[Call], Result]
    required: tuple[str, ...] = ()
    demanded: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    group: Literal["", "read", "edit", "browser", "command", "mcp"] = ""
    is_opt_in: bool = False
    is_drilled: bool = False
    filled: tuple[str, ...] = ()
    lack_fails_turn: bool = False
    records_lack: bool = True
    arguments: Mapping[str, Argument] = field(default_factory=dict)
    read_arguments: Callable[[Params], Arguments] | None = None
    problem: Callable[[Params, ClientState], Problem | None] | None = None
    title: str | Callable[[Call], str] = ""

    @property
    def parameters(self) -> tuple[str, ...]:
        """All parameters that belong to the tool today."""
        return (*self.required, *self.demanded, *self.optional)

    def typed_arguments(self, params: Params) -> Arguments:
        """Return the typed arguments of a call; absent optional ones are left out, absent required ones are empty text.

        Raises:
            BadNestedValue: a nested value is not readable.
        """
        if self.read_arguments:
            return self.read_arguments(params)
        values: Arguments = {name: params.get(name, "") for name in (*self.required, *self.demanded)}
        values.update({name: params[name] for name in (*self.optional, *self.ignored) if name in params})
        for name, argument in self.arguments.items():
            if argument.read and name in values:
                value = argument.read(params.get(name, ""))
                if value is None:
                    del values[name]
                else:
                    values[name] = value
        return values


@dataclass(frozen=True, slots=True)
class Edition:
    """One version of the client.

    Attributes:
        is_classic: holds for the version in which calls are only ever XML.
        tools: each known tool, by name.
        parameters: every name that opens a parameter, whatever the tool around it.
        mode_rules: what its mode check knows.
    """

    version: str
    is_classic: bool
    tools: Mapping[str, Tool]
    parameters: frozenset[str]
    mode_rules: ToolRules


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
    params: Params
    state: ClientState
    edition: Edition
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

    @property
    def refusal(self) -> Refusal | None:
        """Why the mode refuses the call, or None."""
        state = self.state
        mode = find_mode(state.mode, state.custom_modes)
        return refusal(self.tool, mode, self.params, requirements=state.requirements, rules=self.edition.mode_rules)

    @property
    def edited_paths(self) -> str:
        """The paths that the call edits, as a list to be read."""
        return ", ".join(filter(None, self.edition.mode_rules.edited_paths(self.tool, self.params)))

    def lacks(self, *names: str) -> str | None:
        """Return the first of the parameters that is absent or empty."""
        return next((name for name in names if not self.params.get(name)), None)

    def offered(self, do: Callable[[], Reply], counter: Counter = "reset") -> Result:
        """Return the result of a call that passed its checks: the user decides, then `do` does the work."""
        if self.tool in self.state.denied_tools:
            reply = "The user did not allow this."
            return Result("accepted", ("denied_by_user",), lambda: reply, counter, is_denied=True)
        return Result("accepted", (), do(), counter)

    def answered(self, default: str) -> Result:
        """Return the result of a call that does nothing but answer; see `answer_of_case`."""
        return self.offered(lambda: lambda: self.answer_of_case(default))

    def answer_of_case(self, default: str) -> str:
        """Return what the case says that this call answers, or `default`."""
        results = self.state.results
        if not results:
            return default
        arguments = self.edition.tools[self.tool].typed_arguments(self.params)
        keys = (call_key(self.tool, arguments), call_key(self.tool, _with_objects(arguments)), self.tool)
        return next((results[key] for key in keys if key in results), default)


def _with_objects(arguments: Mapping[str, object]) -> Arguments:
    inner = arguments.get("arguments")
    try:
        return {**arguments, "arguments": json.loads(inner)} if isinstance(inner, str) else dict(arguments)
    except (ValueError, RecursionError):
        return dict(arguments)


def error(sentence: str) -> str:
    """Return an error in the form that the client gives its errors."""
    return f"The call could not be carried out:\n<error>\n{sentence}\n</error>"


def failed(
    code: str, sentence: str, counter: Counter = "keep", *, records_failure: bool = False, fails_turn: bool = False
) -> Result:
    """Return the result of a call that is answered with an error."""
    return Result("failed", (code,), lambda: error(sentence), counter, records_failure, fails_turn)


def mistake(code: str, sentence: str, counter: Counter = "mistake", *, fails_turn: bool = False) -> Result:
    """Return the result of a call whose error is recorded, and normally counted as a mistake."""
    return failed(code, sentence, counter, records_failure=True, fails_turn=fails_turn)


def missing(call: Call, parameter: str, *, fails_turn: bool = False, records_failure: bool = True) -> Result:
    """Return the result of a call that lacks a parameter, with a reminder of how the call is written."""
    tool = call.edition.tools[call.tool]
    names = (*tool.required, *tool.demanded) if parameter in tool.parameters else (parameter,)
    inner = "\n".join(f"<{name}>...</{name}>" for name in names)
    form = f"It is written like this, and stands last in the answer:\n<{call.tool}>\n{inner}\n</{call.tool}>"
    sentence = f"{call.tool} needs a value for {parameter}.\n\n{form}"
    return failed(
        f"missing_param:{parameter}", sentence, "mistake", records_failure=records_failure, fails_turn=fails_turn
    )


def opted_out(call: Call) -> Result:
    """Refuse a tool that only an experiment brings; nothing is counted."""
    return failed("experiment_off", f"{call.tool} is an experiment that is switched off here.")


def leading_number(text: str) -> Number:
    """Return the whole number that `text` begins with, as `parseInt(text, 10)` reads it; NaN without one."""
    digits = _LEADING_INT.match(text)
    return whole_number(digits[1]) if digits else math.nan


def whole_number(digits: str) -> Number:
    """Return the double that stands for a whole number."""
    value = float(digits)
    return int(value) if abs(value) <= _MAX_EXACT else value
