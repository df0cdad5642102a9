"""The verdict on an answer without a call: one is due and missing, or none is due and the text is judged."""

from collections.abc import Callable

from services.protocols.cases import Case
from services.protocols.javascript import trim
from services.protocols.judging.layers import Flaw, failed, failed_verdict
from services.protocols.verdict import Fault, Layer, LayerName, Verdict, passed, verdict_of

Attempt = Callable[[str], Flaw | None]
"""From a text to the first call that it tries in a form that the client does not read; None when it tries none."""


def judge_absence(text: str, start: int, attempt: Attempt, *, is_cut: bool) -> Verdict:
    """Return the verdict on an answer without a call where one is due.

    Args:
        text: the whole answer.
        start: where it begins behind its reasoning.
        attempt: looks for a call that was tried; it is shown blanks for reasoning, so that places stay the same.
        is_cut: the token limit ended the answer.
    """
    if trim(text[start:]):
        flaw = attempt(" " * start + text[start:]) or Flaw(Fault.NO_CALL, "The answer is plain text without a call.")
    elif is_cut and start:
        flaw = Flaw(Fault.CUT_OFF, "The token limit cut the answer within its reasoning.")
    else:
        sentence = "The answer is reasoning alone; nothing follows it." if start else "The answer is empty."
        flaw = Flaw(Fault.EMPTY_ANSWER, sentence)
    return failed_verdict(LayerName.CALL_PRESENT, flaw)


def judge_silence(case: Case, text: str, start: int, attempt: Attempt) -> Verdict:
    """Return the verdict on an answer without a call where none is due: it must say something, and what is asked.

    A call that is tried all the same is needless, in whatever form. Arguments as for `judge_absence`.
    """
    visible = " " * start + text[start:]
    done = LayerName.TASK_DONE
    if flaw := attempt(visible):
        needless = Flaw(Fault.NEEDLESS_CALL, "The answer writes a call, though none is due.", flaw.span)
        layers: tuple[Layer, ...] = (failed(LayerName.NO_NEEDLESS_CALL, needless),)
    else:
        problems = (rule.problem(visible) for rule in case.expected.free_text)
        problem = next(filter(None, problems), None) if trim(visible) else "The answer is empty."
        said = failed(done, Flaw(Fault.WRONG_RESULT, problem)) if problem else passed(done)
        layers = (said, passed(LayerName.NO_NEEDLESS_CALL))
    return verdict_of(layers, accepted=bool(trim(visible)), tool=None)
