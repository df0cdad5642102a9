"""Pairs for DPO as a loop makes them: what the model itself answers to cases that are drawn anew, and fails, healed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from services.feedback.datasets.builder import content_of
from services.feedback.datasets.cells import cell_weights
from services.feedback.datasets.drawing import DrawRequest, draw
from services.feedback.datasets.plan import apportion_cells
from services.lm.generation.engine import Engine
from services.lm.generation.requests import GenerationRequest
from services.lm.loading import LoadedModel
from services.lm.worker_protocol import Sampling
from services.protocols.cases import Case, case_to_document
from services.protocols.judging.healing import healed
from services.protocols.profile import Profile
from services.protocols.session import Session, judge_session
from services.protocols.suites.dataset_row import DatasetRow
from services.protocols.suites.overlap import Contents
from services.protocols.turn import Answer, Message, ToolCall
from services.trainer.training.rollouts.tasks import session_prompt

_MAX_CHARACTERS = 4_000


def pairs(
    loaded: LoadedModel, profile: Profile, suite: Sequence[Case], prompt_size: str, *, seed: int, num_cases: int
) -> tuple[bytes, int]:
    """Return a dataset of pairs, and how many there are: one for each of `num_cases` whose likeliest answer fails."""
    cases = _drawn(profile, suite, seed=seed, count=num_cases)
    sessions = {case.case_id: Session(profile, case, prompt_size) for case in cases}
    requests = [GenerationRequest(name, session_prompt(session, loaded), 256) for name, session in sessions.items()]
    own: dict[str, Message] = {}
    for result in Engine(loaded).generate(requests, Sampling(temperature=0.0)):
        if result.finish_reason == "stop" and result.text.strip():
            sessions[result.key].answer(profile.read_answer(result.text, "stop"))
            own[result.key] = next(m for m in reversed(sessions[result.key].messages) if m["role"] == "assistant")
    answered = [case for case in cases if case.case_id in own]
    failed = [
        case for case in answered if not judge_session(profile, case, sessions[case.case_id].transcript()).conforming
    ]
    rows = list(_rows(profile, failed, own, prompt_size))
    return content_of(rows), len(rows)


def _drawn(profile: Profile, suite: Sequence[Case], *, seed: int, count: int) -> list[Case]:
    asked = [case for case in suite if not case.solution]
    request = DrawRequest(
        profile,
        Contents(suite, closed_tools=profile.closed_tools),
        seed,
        "train",
        lambda case: not case.solution,
        _MAX_CHARACTERS,
    )
    wanted = apportion_cells(count, cell_weights(profile, asked), seed=seed)
    return [case for cases in draw(request, wanted).cases.values() for case in cases]


def _rows(profile: Profile, cases: Sequence[Case], own: dict[str, Message], prompt_size: str) -> Iterator[DatasetRow]:
    for case in cases:
        right = profile.example(case, prompt_size)["messages"][-1]

        def conforms(message: Message, case: Case = case) -> bool:
            return profile.judge(case, _answer(profile, message)).conforming

        prompt = Session(profile, case, prompt_size)
        yield DatasetRow(
            case.case_id,
            (*prompt.messages, healed(own[case.case_id], right, conforms)),
            tools=json.loads(json.dumps(prompt.tools, default=dict)),
            case=case_to_document(case),
            rejected=own[case.case_id],
            tool=case.tool,
            profile_id=profile.id,
        )


def _answer(profile: Profile, message: Message) -> Answer:
    calls = tuple(
        ToolCall(call["function"]["name"], call["function"]["arguments"], call["id"])
        for call in message.get("tool_calls", ())
    )
    return Answer(message["content"], calls) if calls else profile.read_answer(message["content"])
