"""Does a case's own reference conform? Where it does not, no answer may."""

import json

from services.protocols.cases import Case
from services.protocols.contract import Profile
from services.protocols.javascript.text import trim
from services.protocols.session import Session, judge_session
from services.protocols.turn import Answer, ToolCall


def reference_problem(profile: Profile, case: Case) -> str:
    """Return one sentence on why the case's solution, or else its reference answer, does not conform; empty if it does.

    Where a case has neither, the calls that it expects are judged, if they are all said. A case of several turns that
    has a reference alone is not asked, nor one whose reference is a pattern of right answers.
    """
    try:
        if case.solution:
            session = Session(profile, case, profile.prompt_sizes[0])
            for answer in case.solution:
                if session.stop is None:
                    session.answer(answer)
            verdict = judge_session(profile, case, session.transcript())
        elif case.max_turns > 1 or case.goal or _is_pattern(case):
            return ""
        elif not trim(case.reference):
            if not _says_its_calls(case):
                return ""
            due = case.expected.due
            verdict = profile.judge(
                case, Answer("", tuple(ToolCall(call.tool, json.dumps(call.arguments, default=dict)) for call in due))
            )
        else:
            verdict = profile.judge(case, profile.read_answer(profile.reference_answer(case)))
    except ValueError as error:
        return str(error)
    return "" if verdict.conforming else verdict.sentence


def _is_pattern(case: Case) -> bool:
    scoring = case.scoring
    return scoring is not None and scoring.scorer == "regex" and case.reference in scoring.targets


def _says_its_calls(case: Case) -> bool:
    due = case.expected.due
    is_said = all(
        not call.free_text and all(choice.optional or choice.argument in call.arguments for choice in call.choices)
        for call in due
    )
    # A parameter that is due may have its default without being said.
    has_defaults = '"default":' in json.dumps(case.tools, default=dict)
    return bool(case.tools) and bool(due) and not case.effects and not has_defaults and is_said
