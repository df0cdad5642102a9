"""Judges transcripts with the protocol's own rules, as the simulated client does in process."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from services.chassis.errors import FailedPrecondition
from services.evaluator.domain.verdict import Layer, Verdict
from services.evaluator.ports import AnswerEnd, GivenAnswer, Transcript
from services.protocols import verdict as protocol
from services.protocols.cases import Case
from services.protocols.judging.rewards import components
from services.protocols.profile import Profile, UnknownProfile, get_profile
from services.protocols.session import Session, judge_session, state_of
from services.protocols.turn import Answer, FinishReason, TurnOutcome
from services.protocols.verdict import LayerName, LayerStatus

_CONTENT = frozenset((LayerName.RIGHT_ARGUMENTS, LayerName.EFFECT, LayerName.TASK_DONE))
_FAULTS = {
    AnswerEnd.BACKEND_FAULT: (
        protocol.Fault.BACKEND_FAULT,
        "The generation backend failed on this case, so there is no answer.",
    ),
    AnswerEnd.TEMPLATE_FAULT: (
        protocol.Fault.TEMPLATE_FAULT,
        "The chat template refuses the prompt, so there is no answer.",
    ),
    AnswerEnd.CONTEXT_OVERFLOW: (protocol.Fault.CUT_OFF, "{prompt} and its answer do not fit the model's context."),
}


@dataclass(frozen=True)
class _Judged:
    verdict: protocol.Verdict
    num_turns: int
    had_client_error: bool


@dataclass
class Judge:
    """Judges answers to the cases of one suite in one prompt size; keeps what it learned of a case's history."""

    profile: Profile
    prompt_size: str
    _histories: dict[str, bool] = field(default_factory=dict)

    def judge_all(self, cases: Mapping[str, Case], transcripts: Sequence[Transcript]) -> list[Verdict]:
        """Return one verdict per transcript, in their order.

        Raises:
            FailedPrecondition: A transcript answers a case that is not in the suite.
        """
        return [self.judge(_case_of(cases, transcript), transcript) for transcript in transcripts]

    def judge(self, case: Case, transcript: Transcript) -> Verdict:
        """Return the verdict on a transcript; an answer that was never made has a cause of its own."""
        judged = _fault(transcript.answers) or self._judged(case, transcript.answers)
        notes = [note for answer in transcript.answers for note in self.profile.style_notes(self._answer(answer))]
        return replace(_to_verdict(judged, case, transcript), style_notes=tuple(dict.fromkeys(notes)))

    def _judged(self, case: Case, answers: Sequence[GivenAnswer]) -> _Judged:
        if case.max_turns == 1 and case.goal is None:
            error = self._has_error_before(case)
            return _Judged(self.profile.judge(case, self._answer(answers[0])), 1, error)
        session = Session(self.profile, case, self.prompt_size)
        for answer in answers:
            if session.stop:
                break
            session.answer(self._answer(answer))
        record = session.transcript()
        error = self._has_error_before(case) or any(_met_error(turn.outcome) for turn in record.turns[:-1])
        return _Judged(judge_session(self.profile, case, record), len(record.turns), error)

    def _answer(self, answer: GivenAnswer) -> Answer:
        reason: FinishReason = "length" if answer.end is AnswerEnd.LENGTH else "stop"
        if answer.calls:
            return Answer(answer.text, answer.calls, reason)
        return self.profile.read_answer(answer.text, reason)

    def _has_error_before(self, case: Case) -> bool:
        """Return whether the last answer of the case's history met an error, which the first answer has to mend."""
        if not case.history:
            return False
        has_error = self._histories.get(case.case_id)
        if has_error is None:
            state = state_of(case)
            written = [self.profile.as_written(answer, self.prompt_size) for answer in case.history]
            outcomes = [self.profile.take_turn(state, answer) for answer in written]
            has_error = self._histories[case.case_id] = _met_error(outcomes[-1])
        return has_error


def profile_of(profile_id: str) -> Profile:
    """Return a profile that this release knows.

    Raises:
        FailedPrecondition: It does not know it.
    """
    try:
        return get_profile(profile_id)
    except UnknownProfile as error:
        raise FailedPrecondition(
            f"This release cannot judge by the run's protocol: {error}.", "Use a release that has that profile."
        ) from error


def _fault(answers: Sequence[GivenAnswer]) -> _Judged | None:
    """Return what is to be said when no answer was made in a turn, however good those before it were."""
    for turn, answer in enumerate(answers):
        if answer.end in _FAULTS:
            fault, sentence = _FAULTS[answer.end]
            prompt = f"The prompt of {answer.num_prompt_tokens} tokens" if answer.num_prompt_tokens else "The prompt"
            verdict = protocol.fault_verdict(fault, answer.detail or sentence.format(prompt=prompt))
            layers = (replace(verdict.layers[0], turn=turn), *verdict.layers[1:])
            return _Judged(replace(verdict, layers=layers), turn, had_client_error=False)
    return None


def _met_error(outcome: TurnOutcome) -> bool:
    if outcome.completed is not None:
        return False
    return not outcome.used_tool or any(call.verdict == "failed" for call in outcome.calls)


def _to_verdict(judged: _Judged, case: Case, transcript: Transcript) -> Verdict:
    verdict = judged.verdict
    failed = [layer for layer in verdict.layers if layer.status is LayerStatus.FAILED]
    content = [layer for layer in verdict.layers if layer.name in _CONTENT and layer.status is LayerStatus.PASSED]
    return Verdict(
        sequence=transcript.sequence,
        transcript_id=transcript.transcript_id,
        case_id=case.case_id,
        repeat=transcript.repeat,
        tool=case.tool,
        category=case.category,
        conforming=verdict.conforming,
        accepted=verdict.accepted,
        well_formed=verdict.well_formed,
        cause=verdict.cause.value if verdict.cause else "",
        sentence=verdict.sentence,
        layers=tuple(
            Layer(layer.name.value, layer.status, layer.detail, layer.span, layer.score, layer.turn)
            for layer in verdict.layers
        ),
        fault=failed[0].fault.value if failed and failed[0].fault else "",
        is_sole=len(failed) == 1 and bool(content),
        num_turns=judged.num_turns,
        had_client_error=judged.had_client_error,
        scores=components(case, verdict),
        spent=transcript.spent,
    )


def _case_of(cases: Mapping[str, Case], transcript: Transcript) -> Case:
    case = cases.get(transcript.case_id)
    if case is None:
        raise FailedPrecondition(
            f"The suite has no case {transcript.case_id!r}, which the transcript {transcript.transcript_id} answers.",
            "Check the registry's data; suite versions never change.",
        )
    return case
