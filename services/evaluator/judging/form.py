"""The form alone: verdicts on answers to what a client really asked, where nobody knows what is right."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from services.evaluator.domain.verdict import Verdict
from services.evaluator.judging.answers import Judge
from services.evaluator.ports import GivenAnswer, Transcript
from services.protocols.cases import Case, CaseError, Expected
from services.protocols.profile import Profile
from services.protocols.verdict import FORM_LAYERS

_FUNCTIONS = "openai_tools"
_NO_CALL = "no_call"
_FORM = frozenset(layer.value for layer in FORM_LAYERS)
# Which mode the client is in is not known: one in which all may be done, and which no answer chooses.
_MODE: Mapping[str, object] = {
    "slug": "any",
    "name": "Any",
    "roleDefinition": "Any",
    "groups": ["read", "edit", "command", "mcp", "browser"],
}


def judge_form(profile: Profile, tools: Sequence[Mapping[str, object]], answer: GivenAnswer) -> Verdict:
    """Return a verdict of the layers of form alone; `conforming` says that they pass.

    A protocol whose functions come with the request asks for no call: an answer in plain text has the right form there,
    unless it is a call that went wrong.

    Raises:
        CaseError: The protocol has no calls, or a function is none.
    """
    expected = _expected(profile, tools, answer)
    case = Case(
        case_id="form",
        category="recorded",
        tool=expected.tool,
        mode=str(_MODE["slug"]),
        task="",
        expected=expected,
        template="form",
        reference="",
        custom_modes=(_MODE,),
        tools=tuple(tools),
    )
    profile.check_case(case)
    verdict = Judge(profile, profile.prompt_sizes[0]).judge(case, Transcript(0, "", case.case_id, 0, (answer,)))
    return replace(verdict if expected.no_call else _of_form(verdict), scores={})


def _expected(profile: Profile, tools: Sequence[Mapping[str, object]], answer: GivenAnswer) -> Expected:
    if profile.id != _FUNCTIONS:
        if not profile.tools:
            raise CaseError("profile_id", f"{profile.id} has no calls, whose form could be judged")
        return Expected(profile.tools[0])
    if not answer.calls and not profile.read_answer(answer.text).calls:
        return Expected(_NO_CALL, no_call=True)
    function = tools[0].get("function") if tools else None
    if not isinstance(function, Mapping):
        raise CaseError("tools[0]", "must be a function definition")
    return Expected(str(function.get("name")))


def _of_form(verdict: Verdict) -> Verdict:
    layers = tuple(layer for layer in verdict.layers if layer.name in _FORM)
    if not verdict.well_formed:
        return replace(verdict, layers=layers)
    sentence = "The call has the form that the client reads."
    return replace(verdict, conforming=True, cause="", fault="", is_sole=False, sentence=sentence, layers=layers)
