"""The conversations of a protocol that a model is examined with: its longest prompt, several turns, every tool."""

from dataclasses import replace

from services.chassis.errors import FailedPrecondition
from services.lm.doctor.diagnosis import Conversation
from services.protocols.cases import Case
from services.protocols.profile import Profile
from services.protocols.session import Session
from services.test_runner.domain.generation import plain_tools

_NUM_DRAWN = 26
_MOST_EXAMPLES = 24


def conversations_of(profile: Profile, prompt_size: str) -> tuple[Conversation, ...]:
    """Return the longest prompt, the longest solution turn by turn, and one answered case of each tool.

    Raises:
        FailedPrecondition: The profile has no case.
    """
    cases = _cases(profile)
    longest = max(
        cases, key=lambda case: sum(len(message["content"]) for message in profile.messages(case, prompt_size))
    )
    opening = Conversation(
        f"the longest prompt, case {longest.case_id}",
        tuple(profile.messages(longest, prompt_size)),
        plain_tools(profile.tools_for(longest, prompt_size)),
    )
    solved = max(cases, key=lambda case: len(case.solution))
    by_tool = {case.tool: case for case in reversed(cases)}
    examples = (_example(profile, case, prompt_size) for case in list(by_tool.values())[:_MOST_EXAMPLES])
    return (opening, _played(profile, solved, prompt_size), *examples)


def _cases(profile: Profile) -> list[Case]:
    cases = [case for suite in profile.suites() for case in suite.cases]
    if profile.categories and not any(case.solution for case in cases):
        cases += profile.draw(0, max(_NUM_DRAWN, 2 * len(profile.categories)), stock="suite")
    if not cases:
        raise FailedPrecondition(
            f"The profile {profile.id} has no case to examine a model with.", "Choose a profile that has a suite."
        )
    return cases


def _played(profile: Profile, case: Case, prompt_size: str) -> Conversation:
    session = Session(profile, replace(case, max_turns=len(case.solution) + 1), prompt_size)
    tools = plain_tools(session.tools)
    for answer in case.solution or (profile.read_answer(profile.reference_answer(case)),):
        if session.stop is None:
            session.answer(profile.as_written(answer, prompt_size))
    name = f"{len(case.solution) or 1} turns, case {case.case_id}"
    return Conversation(name, tuple(session.messages), tools)


def _example(profile: Profile, case: Case, prompt_size: str) -> Conversation:
    example = profile.example(case, prompt_size)
    name = f"an answer with {case.tool}" if case.tool else f"an answer to {case.case_id}"
    return Conversation(name, tuple(example["messages"]), plain_tools(example.get("tools", ())))
