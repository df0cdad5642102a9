"""`regex`: a target is a pattern that matches somewhere in the answer, or, with `full`, all of it.

Patterns are RE2's, which takes time linear in the answer and bounded memory whatever the pattern.
"""

from functools import lru_cache

import re2  # type: ignore[import-untyped]

from services.protocols.cases import CaseError, Scoring
from services.protocols.plain_text.scorers.scorer import Scorer

MAX_PATTERN = 2_000
_MAX_MEMORY = 8 << 20


def score(answer: str, scoring: Scoring) -> float:
    """Return 1 when a target matches, else 0."""
    ignores_case, is_full = bool(scoring.options.get("ignore_case")), bool(scoring.options.get("full"))
    patterns = (compiled(target, ignores_case=ignores_case) for target in scoring.targets)
    return float(any((one.fullmatch if is_full else one.search)(answer) for one in patterns))


@lru_cache(maxsize=256)
def compiled(pattern: str, *, ignores_case: bool = False):  # type: ignore[no-untyped-def]
    """Return the compiled pattern; `re2.error` when it is none, or would need too much memory."""
    options = re2.Options()
    options.log_errors, options.max_mem, options.case_sensitive = False, _MAX_MEMORY, not ignores_case
    return re2.compile(pattern, options=options)


def reason_of(error: re2.error) -> str:
    """Return what RE2 says is wrong, as text."""
    said = error.args[0] if error.args else ""
    return said.decode(errors="replace") if isinstance(said, bytes) else str(said)


def check(scoring: Scoring) -> None:
    """Refuse what is no pattern."""
    for place, target in enumerate(scoring.targets):
        field = f"scoring.targets[{place}]"
        if len(target) > MAX_PATTERN:
            raise CaseError(field, f"is a pattern of more than {MAX_PATTERN:,} characters")
        try:
            compiled(target)
        except re2.error as error:
            raise CaseError(field, f"is no pattern that RE2 can run: {reason_of(error)}") from error


REGEX = Scorer(score, {"ignore_case": bool, "full": bool}, check=check)
