"""From a case to what is trained on: one example for each answer that the model gives."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from services.protocols.cases import Case
from services.protocols.profile import Profile
from services.protocols.session import Session
from services.protocols.turn import Answer, Message

Example = tuple[tuple[Message, ...], tuple[Mapping[str, Any], ...]]
"""A conversation that ends with the right answer, and the function definitions beside it."""


def num_answers(case: Case) -> int:
    """Return how many answers the case asks for, and so how many examples it makes."""
    return len(case.solution) or 1


def examples_of(profile: Profile, case: Case, prompt_size: str) -> list[Example]:
    """Return an example for each right answer in its order.

    It begins with what a test asks with at this point, the client's replies and the function definitions of the mode
    included, and ends with the right answer. Wrong answers of the case's history are in the prompt alone.
    """
    session = Session(profile, case, prompt_size)
    if not case.solution:
        return [_example(session.tools, session.messages, profile.example(case, prompt_size)["messages"][-1])]
    return played_examples(session, (profile.as_written(answer, prompt_size) for answer in case.solution))


def played_examples(session: Session, answers: Iterable[Answer]) -> list[Example]:
    """Return an example for each answer as the session goes on.

    Raises:
        SessionOver: The client takes no further answer.
    """
    examples = []
    for answer in answers:
        prompt, tools = list(session.messages), session.tools
        session.answer(answer)
        examples.append(_example(tools, prompt, session.messages[len(prompt)]))
    return examples


def _example(tools: Sequence[object], prompt: Sequence[Message], answer: Message) -> Example:
    # A profile's own definitions may be read-only views, which JSON cannot write.
    return (*prompt, answer), tuple(json.loads(json.dumps(tools, default=dict)))
