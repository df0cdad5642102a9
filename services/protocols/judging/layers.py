"""The judge's engine: one table of checks makes the layers of a verdict, whatever the protocol.

A judge is a table. Each row names a layer, the layers that must have passed before it is asked, and the check: it takes
what is judged and returns None when the layer passes, a `Flaw` when it fails, or `NOT_ASKED` when it does not apply.
Rows stand in the order of `LayerName`; `layers_of` asks them one by one, and `verdict_of` makes the verdict of them.

Where an answer may hold several calls, a judge looks at the form of each call once, which gives a `CheckedCall` with
the first flaw in its form, and builds a `CalledAnswer` (both in `call_checks`). The rows over all calls are the same in
every protocol: `form_check(layer, order)`, `right_tool`, `right_arguments`, `needless`. An answer without a call is
judged by `absence`: `judge_absence` where a call is due, `judge_silence` where none is.

A mistake has one name in all profiles:

- a required argument that is absent or blank is `missing_param`, one that the tool does not have `foreign_parameter`;
- a tool that does not exist is `unknown_tool`, on whatever layer that is seen;
- a mode, server, server's tool or instruction that does not exist is `unknown_mode`, `mcp_unknown_server`,
  `mcp_unknown_tool` or `unknown_instruction`, and the current mode chosen again is `same_mode`;
- JSON that cannot be read is `bad_json`, and JSON that should be an object and is none `not_an_object`;
- an edit that the client does not carry out whole bears the client's own code, such as `no_match` (`flaw_of_codes`);
- an answer cut within its reasoning or within a call is `cut_off`; plain text is `no_call`, cut or not;
- a call where none is due, in whatever form, is `needless_call`.
"""

from collections.abc import Callable, Sequence
from typing import Final, Literal, NamedTuple, TypeVar

from services.protocols.cases import Case
from services.protocols.javascript.text import trim
from services.protocols.verdict import (
    Fault,
    Layer,
    LayerName,
    LayerStatus,
    Span,
    Verdict,
    fault_of_code,
    passed,
    verdict_of,
)

NOT_ASKED: Final = "not asked"
NOTHING: Final = frozenset[LayerName]()


class Flaw(NamedTuple):
    """What is wrong on a layer, one sentence on it, its place in the answer, and the share that is right."""

    fault: Fault
    sentence: str
    span: Span | None = None
    share: float = 0.0


Judged = TypeVar("Judged")
Finding = Flaw | Literal["not asked"] | None
Check = tuple[LayerName, frozenset[LayerName], Callable[[Judged], Finding]]
"""A row of a judge's table: the layer, the layers that it needs, and the check."""


def layers_of(checks: Sequence[Check[Judged]], judged: Judged) -> tuple[Layer, ...]:
    """Return the layers that were asked, in the order of the table."""
    layers, sound = list[Layer](), set[LayerName]()
    for name, needs, check in checks:
        if needs <= sound:
            finding = check(judged)
            if finding is None:
                layers.append(passed(name))
                sound.add(name)
            elif not isinstance(finding, str):
                layers.append(failed(name, finding))
    return tuple(layers)


def failed(name: LayerName, flaw: Flaw) -> Layer:
    """Return the layer of that name that failed by `flaw`."""
    return Layer(name, LayerStatus.FAILED, *flaw)


def failed_verdict(name: LayerName, flaw: Flaw) -> Verdict:
    """Return the verdict on an answer without a call of which only `flaw` is to be said."""
    return verdict_of((failed(name, flaw),), accepted=False, tool=None)


def passes(judged: object) -> None:
    """Check nothing: the layer passes wherever it is asked."""


def flaw_of_codes(codes: Sequence[str], sentence: str, span: Span | None = None) -> Flaw:
    """Return the flaw of a call that the client did not carry out whole: the fault that its first code stands for."""
    meaning = fault_of_code(codes[0]) if codes else None
    return Flaw(meaning[1] if meaning else Fault.CALL_FAILED, sentence, span)


def same_text(one: str | None, other: str | None) -> bool:
    """Return whether two files are the same; a break of the last line counts for nothing."""
    if one is None or other is None:
        return one is other
    return one.rstrip("\r\n") == other.rstrip("\r\n")


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
