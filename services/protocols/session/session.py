"""The simulated client: one for all profiles, it asks the profile what the client does and says."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from itertools import chain, count
from typing import Literal

from services.protocols.cases import Case, Document, answer_to_document
from services.protocols.session.client import Client
from services.protocols.session.memory import case_at, forgive, state_of
from services.protocols.turn import Answer, ClientState, Message, TurnOutcome, assistant_message, call_id_of

Stop = Literal["completed", "mistake_limit", "repetition", "turn_budget"]


class SessionOver(ValueError):
    """The client takes no further answer."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One answer and what followed; the client says nothing after the completion."""

    answer: Answer
    outcome: TurnOutcome
    replies: tuple[Message, ...] = ()


@dataclass(frozen=True, slots=True)
class Transcript:
    """A session as it stands.

    Attributes:
        profile: id of the profile.
        profile_digest: digest of the profile.
        history: the turns that the case begins with.
        turns: the model's turns.
        stop: why the session is over; None while it goes on.
        files: text by path of the workspace.
        mode: slug of the mode.
        todos: the checklist; None when there is none.
    """

    profile: str
    profile_digest: str
    case_id: str
    history: tuple[Turn, ...]
    turns: tuple[Turn, ...]
    stop: Stop | None
    files: Mapping[str, str]
    mode: str
    todos: tuple[tuple[str, str], ...] | None

    def text(self) -> str:
        """Return the transcript as one line of JSON in ASCII: equal sessions give equal bytes."""
        document: Document = {
            "profile": self.profile,
            "profile_digest": self.profile_digest,
            "case_id": self.case_id,
            "history": [_turn_document(turn) for turn in self.history],
            "turns": [_turn_document(turn) for turn in self.turns],
            "stop": self.stop,
            "files": dict(self.files),
            "mode": self.mode,
            "todos": self.todos,
        }
        return json.dumps(document, sort_keys=True, separators=(",", ":"))


class Session:
    """A model's work on one case, answer by answer.

    Attributes:
        messages: what the model is asked with; grows with each turn.
        tools: function definitions that go beside the messages; they follow the mode.
        stop: why the session is over; None while the client waits for an answer.
    """

    def __init__(self, client: Client, case: Case, prompt_size: str) -> None:
        """Open the session and play the case's history."""
        self._client, self._case, self._prompt_size = client, case, prompt_size
        self.messages: list[Message] = list(client.messages(replace(case, history=()), prompt_size))
        self.stop: Stop | None = None
        self._state = state_of(case)
        self._turns: list[Turn] = []
        self._call_ids: set[str] = set()
        self.tools = client.tools_for(case, prompt_size)
        for answer in case.history:
            self._take(client.as_written(answer, prompt_size))
            forgive(self._state)
        self._num_played = len(self._turns)

    def answer(self, answer: Answer) -> None:
        """Take the model's next answer.

        Raises:
            SessionOver: the session has stopped.
        """
        self._check_open()
        turn = self._take(answer)
        self.stop = _stop_after(turn.outcome, self._state)
        if not self.stop and len(self._turns) - self._num_played >= self._case.max_turns:
            self.stop = "turn_budget"

    def written(self, answer: Answer) -> Message:
        """Return the message that the model's next answer is, and do nothing that it says.

        Raises:
            SessionOver: the session has stopped.
        """
        self._check_open()
        return assistant_message(numbered(answer, len(self._turns), self._call_ids))

    def transcript(self) -> Transcript:
        """Return the session as it stands."""
        state, turns = self._state, tuple(self._turns)
        return Transcript(
            profile=self._client.id,
            profile_digest=self._client.digest,
            case_id=self._case.case_id,
            history=turns[: self._num_played],
            turns=turns[self._num_played :],
            stop=self.stop,
            files=dict(sorted(state.files.items())),
            mode=state.mode,
            todos=None if state.todos is None else tuple(state.todos),
        )

    def _check_open(self) -> None:
        if self.stop:
            raise SessionOver(f"the session on case {self._case.case_id} is over: {self.stop}")

    def _take(self, answer: Answer) -> Turn:
        answer = numbered(answer, len(self._turns), self._call_ids)
        self._call_ids |= {call.call_id for call in answer.calls}
        outcome = self._client.take_turn(self._state, answer)
        replies = () if outcome.completed is not None else tuple(self._client.replies(self._state, outcome))
        turn = Turn(answer, outcome, replies)
        self._turns.append(turn)
        self.tools = self._client.tools_for(case_at(self._case, self._state), self._prompt_size)
        self.messages += [assistant_message(answer), *replies]
        return turn


def numbered(answer: Answer, turn: int, earlier: Collection[str] = ()) -> Answer:
    """Return `answer` with an id for each call that has none, or one that an earlier call has."""
    taken = set(earlier)
    calls = []
    for place, call in enumerate(answer.calls):
        own = (call_id_of(turn, number) for number in count(place))
        call_id = next(one for one in chain([call.call_id], own) if one and one not in taken)
        taken.add(call_id)
        calls.append(replace(call, call_id=call_id))
    return replace(answer, calls=tuple(calls)) if calls else answer


def _stop_after(outcome: TurnOutcome, state: ClientState) -> Stop | None:
    if outcome.completed is not None:
        return "completed"
    if any("repeated_call" in call.codes for call in outcome.calls):
        return "repetition"
    return "mistake_limit" if 0 < state.mistake_limit <= state.mistakes else None


def _turn_document(turn: Turn) -> Document:
    outcome = turn.outcome
    return {
        "answer": answer_to_document(turn.answer),
        "calls": [
            {
                "tool": call.tool,
                "verdict": call.verdict,
                "codes": list(call.codes),
                "reply": call.reply,
                "call_id": call.call_id,
                "title": call.title,
            }
            for call in outcome.calls
        ],
        "codes": list(outcome.codes),
        "turn_failed": outcome.turn_failed,
        "attempts": dict(outcome.attempts),
        "failures": dict(outcome.failures),
        "completed": outcome.completed,
        "replies": [dict(reply) for reply in turn.replies],
    }
