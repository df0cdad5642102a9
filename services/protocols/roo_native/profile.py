"""The profile `roo_native`."""

from collections.abc import Collection
from types import MappingProxyType

from services.protocols.cases import Case, CaseError
from services.protocols.contract import Example, Profile
from services.protocols.material.scenario import Scenario
from services.protocols.roo.modes import find_mode
from services.protocols.roo.profile import CATALOGUE, RooProfile
from services.protocols.roo.prompt_text import mode_of
from services.protocols.roo_native import prompt
from services.protocols.roo_native.definitions import definitions
from services.protocols.roo_native.judge import judge
from services.protocols.roo_native.parse.text_form import answer_from_text, with_calls_beside, with_calls_in_text
from services.protocols.roo_native.scenario_case import OWN_NAMES, case_of
from services.protocols.roo_native.tools import ALIASES, DRILLED_TOOLS, OPT_IN_EDIT_TOOLS, TOOLS
from services.protocols.roo_native.turn import replies, take_turn
from services.protocols.roo_native.vectors import OPERATIONS
from services.protocols.session.client import Tool
from services.protocols.turn import Answer, ClientState, FinishReason, Message, TurnOutcome, with_answer
from services.protocols.verdict import Verdict


class RooNative(RooProfile):
    """Roo Code's function-calling protocol as a profile; see `services.protocols.profile.Profile`."""

    id = "roo_native"
    version = "3.52.1"
    packages = ("services.protocols.roo", "services.protocols.roo_native", "services.protocols.roo_xml")
    catalogue = CATALOGUE.for_protocol("roo_native")
    suite_package = "services.protocols.roo_native"
    scenario_tools = MappingProxyType({own: name for name, own in OWN_NAMES.items()})
    prompt_sizes = prompt.PROMPT_SIZES
    tools = DRILLED_TOOLS
    closed_tools: Collection[str] = ("skill",)
    vector_operations = OPERATIONS

    def _opening(self, case: Case, prompt_size: str) -> list[Message]:
        return [
            {"role": "system", "content": prompt.system_prompt(case, prompt_size)},
            {"role": "user", "content": prompt.user_turn(case, prompt_size)},
        ]

    def _judge(self, case: Case, answer: Answer) -> Verdict:
        return judge(case, answer)

    def tools_for(self, case: Case, prompt_size: str = "") -> list[Tool]:
        """Return the function definitions that the case's mode offers; none for `compact`, which describes them."""
        prompt.check_size(prompt_size or "full")
        if prompt_size == "compact":
            return []
        included, excluded = case.included_tools, case.excluded_tools
        return list(definitions(mode_of(case), case.mcp, included_tools=included, excluded_tools=excluded))

    def read_answer(self, text: str, finish_reason: FinishReason = "stop") -> Answer:
        """Return the answer that a model gave as text, with the calls that its template writes into it."""
        return answer_from_text(text, finish_reason)

    def as_written(self, answer: Answer, prompt_size: str) -> Answer:
        """Return the answer with its calls in the text in the size `compact`, which offers no functions."""
        return with_calls_in_text(answer) if prompt_size == "compact" else answer

    def take_turn(self, state: ClientState, answer: Answer) -> TurnOutcome:
        """Do what the client does with `answer`."""
        return take_turn(state, answer)

    def replies(self, state: ClientState, outcome: TurnOutcome) -> list[Message]:
        """Return the results of the calls and the user's message that follow the answer."""
        return replies(state, outcome)

    def check_case(self, case: Case) -> None:
        """Raise CaseError when the case names a tool or a mode that the client lacks, or opts in any other tool."""
        for due in case.expected.due:
            if due.tool not in TOOLS:
                raise CaseError("expected.tool", f"the protocol has no tool {due.tool!r}")
        for place, tool in enumerate(case.included_tools):
            if ALIASES.get(tool, tool) not in OPT_IN_EDIT_TOOLS:
                raise CaseError(f"included_tools[{place}]", f"{tool!r} is no opt-in tool of the client")
        for place, tool in enumerate(case.excluded_tools):
            if tool not in TOOLS:
                raise CaseError(f"excluded_tools[{place}]", f"the protocol has no tool {tool!r}")
        if find_mode(case.mode, case.custom_modes) is None:
            raise CaseError("mode", f"there is no mode {case.mode!r}")

    def example(self, case: Case, prompt_size: str) -> Example:
        """Return messages and answer; its calls are text in the size `compact`, and beside the text in `full`."""
        answer = self.read_answer(self.reference_answer(case))
        messages = self.messages(case, prompt_size)
        if prompt_size == "compact":
            return {"messages": with_answer(messages, answer)}
        beside = with_answer(messages, with_calls_beside(answer))
        return {"messages": beside, "tools": self.tools_for(case, prompt_size)}

    def _case_of(self, scenario: Scenario) -> Case:
        return case_of(scenario)


PROFILE: Profile = RooNative()
