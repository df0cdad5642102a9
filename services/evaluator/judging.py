"""Judges answers with the protocol's own rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from services.chassis.errors import FailedPrecondition
from services.evaluator.domain.verdict import Layer, Verdict
from services.evaluator.ports import AnswerEnd, Transcript
from services.protocols import verdict as protocol
from services.protocols.cases import Case
from services.protocols.profile import Profile, UnknownProfile, get_profile
from services.protocols.turn import FinishReason


def judge_all(profile: Profile, cases: Mapping[str, Case], transcripts: Sequence[Transcript]) -> list[Verdict]:
    """Return one verdict per transcript, in their order.

    Raises:
        FailedPrecondition: A transcript answers a case that is not in the suite.
    """
    return [_judge(profile, _case_of(cases, transcript), transcript) for transcript in transcripts]


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


def to_verdict(judged: protocol.Verdict, case: Case, transcript: Transcript) -> Verdict:
    """Return what the profile said of a transcript, with what it was said of."""
    return Verdict(
        sequence=transcript.sequence,
        transcript_id=transcript.transcript_id,
        case_id=case.case_id,
        repeat=transcript.repeat,
        tool=case.tool,
        category=case.category,
        conforming=judged.conforming,
        accepted=judged.accepted,
        well_formed=judged.well_formed,
        cause=judged.cause.value if judged.cause else "",
        sentence=judged.sentence,
        layers=tuple(
            Layer(layer.name.value, layer.status, layer.detail, layer.span, layer.score, layer.turn)
            for layer in judged.layers
        ),
    )


def _judge(profile: Profile, case: Case, transcript: Transcript) -> Verdict:
    match transcript.end:
        case AnswerEnd.BACKEND_FAULT:
            judged = protocol.fault_verdict(
                protocol.Fault.BACKEND_FAULT, "The generation backend failed on this case, so there is no answer."
            )
        case AnswerEnd.CONTEXT_OVERFLOW:
            judged = protocol.fault_verdict(
                protocol.Fault.CUT_OFF,
                f"The prompt of {transcript.num_prompt_tokens} tokens and its answer do not fit the model's context.",
            )
        case AnswerEnd.STOP | AnswerEnd.LENGTH as end:
            reason: FinishReason = "length" if end is AnswerEnd.LENGTH else "stop"
            judged = profile.judge(case, profile.read_answer(transcript.answer, reason))
    return to_verdict(judged, case, transcript)


def _case_of(cases: Mapping[str, Case], transcript: Transcript) -> Case:
    case = cases.get(transcript.case_id)
    if case is None:
        raise FailedPrecondition(
            f"The suite has no case {transcript.case_id!r}, which the transcript {transcript.transcript_id} answers.",
            "Check the registry's data; suite versions never change.",
        )
    return case
