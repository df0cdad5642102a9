"""One call on the client's desk, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from services.protocols.roo.ignored_files import IgnoreRules
from services.protocols.roo.paths import same_path
from services.protocols.roo.workspace import rules_of
from services.protocols.roo_native.parse.values import is_filled, write_json
from services.protocols.session import call_key
from services.protocols.turn import CallVerdict, ClientState

Counter = Literal["keep", "reset", "mistake"]


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
    arguments: Mapping[str, object]
    state: ClientState
    turn_failed: bool = False

    @property
    def rules(self) -> IgnoreRules:
        """The workspace's ignore rules."""
        return rules_of(self.state)

    def text(self, name: str) -> str | None:
        """Return an argument that is text; None for one that is absent or anything else."""
        value = self.arguments.get(name)
        return value if isinstance(value, str) else None

    def lacks(self, *names: str) -> str | None:
        """Return the first of the arguments that is absent or counts as false."""
        return next((name for name in names if not is_filled(self.arguments.get(name))), None)

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
            return Result("accepted", ("denied_by_user",), denial(), counter, is_denied=True)
        return Result("accepted", codes, do(), counter)

    def answer_of_case(self, default: str) -> str:
        """Return what the case says that this call answers, or `default`."""
        results = self.state.results
        if not results:
            return default
        given = {name: value for name, value in self.arguments.items() if value is not None}
        keys = [call_key(name, some) for name in (self.written, self.tool) for some in (self.arguments, given)]
        if self.tool == "use_mcp_tool":
            keys.append(call_key(self.written, self.arguments.get("arguments")))
        return next((results[key] for key in (*keys, self.written, self.tool) if key in results), default)


def denial() -> str:
    """Return what the model hears when the user says no."""
    return write_json({"status": "denied", "message": "The user did not allow this."})


def error(sentence: str) -> str:
    """Return an error in the form that the client gives its errors."""
    return write_json({"status": "error", "message": "The call could not be carried out.", "error": sentence})


def failed(
    code: str, sentence: str, counter: Counter = "keep", *, records_failure: bool = False, fails_turn: bool = False
) -> Result:
    """Return the result of a call that is answered with an error."""
    return Result("failed", (code,), error(sentence), counter, int(records_failure), fails_turn)


def missing(call: Call, name: str, *, fails_turn: bool = False, records_failure: bool = True) -> Result:
    """Return the result of a call that lacks an argument."""
    sentence = f"{call.tool} needs a value for {name}. Call it again with all arguments that its definition requires."
    return failed(f"missing_param:{name}", sentence, "mistake", records_failure=records_failure, fails_turn=fails_turn)


def wrong_type(call: Call, name: str, counter: Counter = "keep", *, fails_turn: bool = False) -> Result:
    """Return the result of a call whose argument is no text, which the client notices only when it works with it."""
    code = "bad_path_value" if name in ("path", "file_path") else "bad_value"
    return failed(code, f"{name} of {call.tool} must be text.", counter, fails_turn=fails_turn)


def hidden(path: str, *, fails_turn: bool = False) -> Result:
    """Return the result of a call that touches a file that is kept from the model."""
    sentence = f"{path} is kept from you by .rooignore. Go on without it, or ask the user to change that file."
    return failed("ignored_file", sentence, fails_turn=fails_turn)
