"""Does a case's own reference conform? Where it does not, no answer may."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.protocols.cases import Case
from services.protocols.javascript import trim
from services.protocols.session import Session, judge_session

if TYPE_CHECKING:
    from services.protocols.profile import Profile


def reference_problem(profile: Profile, case: Case) -> str:
    """Return one sentence on why the case's solution, or else its reference answer, does not conform; empty if it does.

    A case without them is not asked, nor one of several turns that has a reference alone, nor one whose reference is a
    pattern of right answers.
    """
    try:
        if case.solution:
            session = Session(profile, case, profile.prompt_sizes[0])
            for answer in case.solution:
                if session.stop is None:
                    session.answer(answer)
            verdict = judge_session(profile, case, session.transcript())
        elif case.max_turns > 1 or case.goal or not trim(case.reference) or _is_pattern(case):
            return ""
        else:
            verdict = profile.judge(case, profile.read_answer(profile.reference_answer(case)))
    except ValueError as error:
        return str(error)
    return "" if verdict.conforming else verdict.sentence


def _is_pattern(case: Case) -> bool:
    scoring = case.scoring
    return scoring is not None and scoring.scorer == "regex" and case.reference in scoring.targets
