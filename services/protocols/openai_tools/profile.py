"""The profile `openai_tools`."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from types import MappingProxyType

from services.protocols.cases import Case, CaseError, Goal, answer_from_document, case_from_document
from services.protocols.contract import Example, Profile, ProfileBase
from services.protocols.material.scenario import Scenario
from services.protocols.openai_tools import parse, prompt
from services.protocols.openai_tools.client import replies, take_turn
from services.protocols.openai_tools.effects import check_effect
from services.protocols.openai_tools.judge import judge
from services.protocols.openai_tools.scenario_case import CATALOGUE, case_of
from services.protocols.openai_tools.schemas import (
    Schema,
    check_schema,
    check_sent_names,
    functions_of,
    parameters_of,
    sent_name,
    sent_tool,
)
from services.protocols.openai_tools.tools import DRILLED_TOOLS, NO_CALL_LABELS, VERSION
from services.protocols.session.client import Tool
from services.protocols.turn import Answer, ClientState, FinishReason, Message, TurnOutcome, with_answer
from services.protocols.verdict import Verdict


def _read_vector(vector: Mapping[str, object]) -> object:
    answer = parse.as_functions(parse.read_answer(str(vector["text"])))
    calls = [{"name": call.name, "arguments": call.arguments} for call in answer.calls]
    return {"text": answer.text, "calls": calls}


def _judge_vector(vector: Mapping[str, object]) -> object:
    verdict = judge(case_from_document(vector["case"]), answer_from_document(vector["answer"]))
    cause = verdict.cause.value if verdict.cause else None
    return {"conforming": verdict.conforming, "accepted": verdict.accepted, "cause": cause}


OPERATIONS: Mapping[str, Callable[[Mapping[str, object]], object]] = MappingProxyType(
    {"read": _read_vector, "judge": _judge_vector}
)
"""`read`: text to text and calls; `judge`: case and answer to what the verdict says."""


class OpenAiTools(ProfileBase):
    """Function calls by any JSON schemas as a profile; see `services.protocols.profile.Profile`."""

    id = "openai_tools"
    version = VERSION
    packages = ("services.protocols.openai_tools",)
    prompt_sizes = prompt.PROMPT_SIZES
    tools = DRILLED_TOOLS
    catalogue = CATALOGUE
    suite_package = "services.protocols.openai_tools"
    categories = tuple(CATALOGUE.categories)
    closed_tools: Collection[str] = NO_CALL_LABELS
    vector_operations = OPERATIONS

    def _opening(self, case: Case, prompt_size: str) -> list[Message]:
        return prompt.opening(case, prompt_size)

    def _judge(self, case: Case, answer: Answer) -> Verdict:
        return judge(case, answer)

    def tools_for(self, case: Case, prompt_size: str = "") -> list[Tool]:
        """Return the case's function definitions, by names that servers take; nothing for a prompt that lists them."""
        return list(map(sent_tool, case.tools)) if prompt_size in ("", "bare") else []

    def read_answer(self, text: str, finish_reason: FinishReason = "stop") -> Answer:
        """Return the answer with the calls that its text writes between `<tool_call>` tags."""
        return parse.read_answer(text, finish_reason)

    def as_written(self, answer: Answer, prompt_size: str) -> Answer:
        """Return the answer with its calls in the text, except in the size `bare`, where they have the names sent."""
        return _sent(answer) if prompt_size == "bare" else parse.as_text(answer)

    def take_turn(self, state: ClientState, answer: Answer) -> TurnOutcome:
        """Run the calls of `answer`; one without a call completes the task."""
        return take_turn(state, answer)

    def replies(self, state: ClientState, outcome: TurnOutcome) -> list[Message]:
        """Return one message of the role `tool` per call."""
        return replies(outcome)

    def check_case(self, case: Case) -> None:
        """Raise CaseError when a function definition is none, or a due call is of none of the functions."""
        schemas = functions_of(case.tools)
        check_sent_names(schemas)
        for place, (name, schema) in enumerate(schemas.items()):
            check_schema(schema, f"tools[{place}].function.parameters")
            if name in NO_CALL_LABELS:
                raise CaseError(f"tools[{place}].function.name", f"{name!r} stands for no call")
        for name, effect in case.effects.items():
            if name not in schemas:
                raise CaseError(f"effects.{name}", "the case offers no such function")
            check_effect(effect, parameters_of(schemas[name]), f"effects.{name}")
        if case.expected.no_call and case.expected.further:
            raise CaseError("expected.further", "must be empty where no call is due")
        for place, due in enumerate(case.expected.due):
            if due.tool not in schemas:
                field = f"expected.further[{place - 1}].tool" if place else "expected.tool"
                raise CaseError(field, f"the case offers no function {due.tool!r}")
        _check_goal(case.goal, schemas)

    def example(self, case: Case, prompt_size: str) -> Example:
        """Return messages and answer; calls are text, except in the size `bare`, where the tools stand beside."""
        answer = self.read_answer(self.reference_answer(case))
        messages = self.messages(case, prompt_size)
        if prompt_size != "bare":
            return {"messages": with_answer(messages, answer)}
        return {"messages": with_answer(messages, _sent(parse.as_functions(answer))), "tools": self.tools_for(case)}

    def _case_of(self, scenario: Scenario) -> Case:
        return case_of(scenario)


def _sent(answer: Answer) -> Answer:
    return replace(answer, calls=tuple(replace(call, name=sent_name(call.name)) for call in answer.calls))


def _check_goal(goal: Goal | None, schemas: Mapping[str, Schema]) -> None:
    for place, name in enumerate(goal.tools if goal else ()):
        if name not in schemas:
            raise CaseError(f"goal.tools[{place}]", f"the case offers no function {name!r}")
    for place, call in enumerate(goal.calls or () if goal else ()):
        if call.tool not in schemas:
            raise CaseError(f"goal.calls[{place}].tool", f"the case offers no function {call.tool!r}")


PROFILE: Profile = OpenAiTools()
