"""What a session asks of a protocol: how its client talks to a model, deals with answers, and judges them."""

from collections.abc import Mapping
from typing import Protocol

from services.protocols.cases import Case
from services.protocols.turn import Answer, ClientState, FinishReason, Message, TurnOutcome
from services.protocols.verdict import Verdict

Tool = Mapping[str, object]
"""A function definition in OpenAI's form."""


class Client(Protocol):
    """One protocol's client."""

    @property
    def id(self) -> str:
        """Name of the protocol, such as `roo_xml`."""

    @property
    def digest(self) -> str:
        """`sha256:` and the hex digest of the profile's source and data; equal digests judge equally."""

    def messages(self, case: Case, prompt_size: str) -> list[Message]:
        """Return the messages that put `case` to a model, its history included."""

    def tools_for(self, case: Case, prompt_size: str = "") -> list[Tool]:
        """Return the function definitions, in OpenAI's form, that go beside the messages; none if calls are text.

        Without a size: all that the case's mode offers, as if no prompt told of them.
        """

    def read_answer(self, text: str, finish_reason: FinishReason = "stop") -> Answer:
        """Return the answer that a model gave as text; `finish_reason` is `length` when the token limit cut it."""

    def as_written(self, answer: Answer, prompt_size: str) -> Answer:
        """Return an answer of a case in the form in which a model writes it that was asked in this size."""

    def judge(self, case: Case, answer: Answer) -> Verdict:
        """Return the verdict on the answer that follows the case's history."""

    def style_notes(self, answer: Answer) -> tuple[str, ...]:
        """Return a sentence for each thing that the prompt asks for and the client never checks."""

    def take_turn(self, state: ClientState, answer: Answer) -> TurnOutcome:
        """Do what the client does with `answer`: change `state` in place and return what came of each call."""

    def replies(self, state: ClientState, outcome: TurnOutcome) -> list[Message]:
        """Return the messages that follow the answer of which `outcome` came; `state` is that after the turn."""

    def check_case(self, case: Case) -> None:
        """Raise CaseError, naming the field, when the case asks for what the protocol does not have."""
