"""What is known of a tool, and one call of it in the client's hands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from services.protocols.roo.normal_forms import Normal, same_path, trimmed
from services.protocols.roo.workspace import rules_of
from services.protocols.roo_native.parse.values import is_filled, write_json
from services.protocols.session import call_key
from services.protocols.turn import CallVerdict, ClientState
from services.protocols.verdict import Fault

Arguments = Mapping[str, object]
Counter = Literal["keep", "reset", "mistake"]
Problem = tuple[Fault, str]
"""What is wrong, and one sentence on it."""


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a tool.

    Attributes:
        need: what the client asks of it: nothing, that it is there, or that it is neither null, false, zero nor empty.
        convert: what the client makes of the value; None counts as absent.
        normal: the form in which two values are compared.
        by_effect: it is right when what the call does to the files is right.
    """

    need: Literal["", "present", "filled"] = ""
    convert: Callable[[object], object] | None = None
    normal: Normal = trimmed
    by_effect: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """All that is known of one tool; description and schema are in `prompts/tools.toml`.

    Attributes:
        run: what the client does with a call.
        arguments: in order.
        group: the group of a mode's tools that it belongs to; every mode offers a tool without one.
        use: `default` is offered without any setting, `opt_in` where the model's settings include it, `rare` never.
        is_drilled: the built-in suites and the training data cover it.
        alias: another name that a model may write.
        filled: arguments that `run` needs to be more than empty, in the order in which the client looks.
        lack_fails_turn: the turn fails where one of `filled` is missing.
        records_lack: the failure is recorded in the tool usage where one of `filled` is missing.
        problem: what definition and prompt demand of the values beyond the schema.
    """

    name: str
    run: Callable[[Call], Result]
    arguments: Mapping[str, Argument] = field(default_factory=dict)
    group: Literal["", "read", "edit", "command", "mcp"] = ""
    use: Literal["default", "opt_in", "rare"] = "default"
    is_drilled: bool = False
    alias: str = ""
    filled: tuple[str, ...] = ()
    lack_fails_turn: bool = False
    records_lack: bool = True
    problem: Callable[[Arguments, ClientState], Problem | None] | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one call.

    Attributes:
        counter: what becomes of the counter of consecutive mistakes.
        num_failures: failures that are recorded in the tool usage, each of them a mistake where `counter` says so.
        fails_turn: the turn is marked as failed.
        is_denied: the user said no, so no further call is looked at.
        completed: the result that an accepted completion told.
        counts_twice: the client records a second attempt.
        is_partial: some of the work was not done, which the codes do not tell.
    """

    verdict: CallVerdict
    codes: tuple[str, ...] = ()
    reply: str = ""
    counter: Counter = "keep"
    num_failures: int = 0
    fails_turn: bool = False
    is_denied: bool = False
    completed: str | None = None
    counts_twice: bool = False
    is_partial: bool = False


class CallFailed(Exception):
    """The call is answered with an error.

    Attributes:
        result: what came of the call.
    """

    def __init__(self, result: Result) -> None:
        super().__init__(result.reply)
        self.result = result


@dataclass(slots=True)
class Call:
    """A call with what the client knows when it looks at it.

    Attributes:
        tool: the tool's own name; `use_mcp_tool` for a server's function.
        written: the name as the answer writes it.
        turn_failed: an earlier call of the turn has failed it.
    """

    tool: str
    written: str
    arguments: Arguments
    state: ClientState
    turn_failed: bool = False

    def lacks(self, *names: str) -> str | None:
        """Return the first of the arguments that is absent or counts as false."""
        return next((name for name in names if not is_filled(self.arguments.get(name))), None)

    def text(self, name: str, counter: Counter = "keep", *, fails_turn: bool = False) -> str:
        """Return an argument that must be text.

        Raises:
            CallFailed: it is something else, which the client notices only when it works with it.
        """
        value = self.arguments.get(name)
        if isinstance(value, str):
            return value
        code = "bad_path_value" if name in ("path", "file_path") else "bad_value"
        raise CallFailed(failed(code, f"{name} of {self.tool} must be text.", counter, fails_turn=fails_turn))

    def text_or(self, name: str, default: str) -> str:
        """Return an argument that is text and not empty, or `default`."""
        value = self.arguments.get(name)
        return value if isinstance(value, str) and value else default

    def check_not_hidden(self, path: str, *, fails_turn: bool = False) -> None:
        """Raise CallFailed when the file is kept from the model."""
        if rules_of(self.state).hide(path):
            raise CallFailed(hidden_file(path, fails_turn=fails_turn))

    def exists(self, path: str) -> bool:
        """Return whether a file whose text is not known stands at `path`."""
        return same_path(path) in map(same_path, self.state.paths)

    @property
    def is_denied(self) -> bool:
        """Whether the user refuses this tool."""
        return bool(self.state.denied_tools & {self.tool, self.written})

    def offered(self, do: Callable[[], str], counter: Counter = "reset", *codes: str) -> Result:
        """Return the result of a call that passed its checks: the user decides, then `do` does the work."""
        if self.is_denied:
            denial = write_json({"status": "denied", "message": "The user did not allow this."})
            return Result("accepted", ("denied_by_user",), denial, counter, is_denied=True)
        return Result("accepted", codes, do(), counter)

    def answered(self, default: str) -> Result:
        """Return the result of a call that does nothing but answer; see `answer_of_case`."""
        return self.offered(lambda: self.answer_of_case(default))

    def answer_of_case(self, default: str) -> str:
        """Return what the case says that this call answers, or `default`."""
        results = self.state.results
        if not results:
            return default
        not_null = {name: value for name, value in self.arguments.items() if value is not None}
        keys = [call_key(name, values) for name in (self.written, self.tool) for values in (self.arguments, not_null)]
        if self.tool == "use_mcp_tool":
            keys.append(call_key(self.written, self.arguments.get("arguments")))
        return next((results[key] for key in (*keys, self.written, self.tool) if key in results), default)


def error(sentence: str) -> str:
    """Return an error in the form that the client gives its errors."""
    return write_json({"status": "error", "message": "The call could not be carried out.", "error": sentence})


def failed(
    code: str, sentence: str, counter: Counter = "keep", *, records_failure: bool = False, fails_turn: bool = False
) -> Result:
    """Return the result of a call that is answered with an error."""
    return Result("failed", (code,), error(sentence), counter, int(records_failure), fails_turn)


def mistake(code: str, sentence: str, counter: Counter = "mistake", *, fails_turn: bool = False) -> Result:
    """Return the result of a call whose error is recorded, and normally counted as a mistake."""
    return failed(code, sentence, counter, records_failure=True, fails_turn=fails_turn)


def missing(call: Call, name: str, *, fails_turn: bool = False, records_failure: bool = True) -> Result:
    """Return the result of a call that lacks an argument."""
    sentence = f"{call.tool} needs a value for {name}. Call it again with all arguments that its definition requires."
    return failed(f"missing_param:{name}", sentence, "mistake", records_failure=records_failure, fails_turn=fails_turn)


def hidden_file(path: str, *, fails_turn: bool = False) -> Result:
    """Return the result of a call that touches a file that is kept from the model."""
    sentence = f"{path} is kept from you by .rooignore. Go on without it, or ask the user to change that file."
    return failed("ignored_file", sentence, fails_turn=fails_turn)


def switched_off(call: Call) -> Result:
    """Refuse what only an experiment switches on."""
    return failed("experiment_off", f"{call.tool} belongs to an experiment that is switched off in the settings.")
