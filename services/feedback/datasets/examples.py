"""From a case to what is trained on: its conversation, with every right answer marked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.protocols.cases import Case
from services.protocols.profile import Profile
from services.protocols.session import Session
from services.protocols.turn import Answer


@dataclass(frozen=True, slots=True)
class Example:
    """A conversation in OpenAI's form that ends with a right answer, and the function definitions beside it."""

    messages: tuple[Mapping[str, Any], ...]
    tools: tuple[Mapping[str, Any], ...]

    @property
    def opening(self) -> tuple[Mapping[str, Any], ...]:
        """The messages up to the first right answer, and that."""
        first = next(place for place, message in enumerate(self.messages) if message.get("weight"))
        return self.messages[: first + 1]


def examples_of(profile: Profile, case: Case, prompt_size: str) -> list[Example]:
    """Return the case's conversation as one example, or as several where its functions change on the way.

    Each begins with what a test asks with, the client's replies and the function definitions of the mode included.
    Right answers have `weight` 1; wrong answers of the case's history are in the prompt alone.
    """
    session = Session(profile, case, prompt_size)
    if not case.solution:
        right = {**profile.example(case, prompt_size)["messages"][-1], "weight": 1}
        return [Example((*session.messages, right), _plain(session.tools))]
    return played_examples(session, [profile.as_written(answer, prompt_size) for answer in case.solution])


def played_examples(session: Session, answers: Sequence[Answer], *, ends_early: bool = False) -> list[Example]:
    """Return examples for right answers as the session goes on; those with equal definitions beside them are one.

    What the client makes of the last answer is not asked, since no row holds it.

    Args:
        session: The session before the first of the answers.
        answers: All answers.
        ends_early: Whether answers behind one at which the client stops are left out, and no error.

    Raises:
        SessionOver: The client takes no further answer.
    """
    examples: list[Example] = []
    for place, answer in enumerate(answers, start=1):
        if ends_early and examples and session.stop:
            break
        num_asked, tools = len(session.messages), _plain(session.tools)
        right = {**session.written(answer), "weight": 1}
        if place < len(answers):
            session.answer(answer)
        earlier = examples.pop().messages if examples and examples[-1].tools == tools else ()
        examples.append(Example((*earlier, *session.messages[len(earlier) : num_asked], right), tools))
    return examples


def _plain(tools: object) -> tuple[Mapping[str, Any], ...]:
    # A profile's own definitions may be read-only views, which JSON cannot write.
    return tuple(json.loads(json.dumps(tools, default=dict)))
