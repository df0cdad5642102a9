"""The session of one case: what is asked next, what was answered, and the transcript in the end."""

from dataclasses import replace

from services.protocols.cases import Case
from services.protocols.profile import Profile
from services.protocols.session import Session
from services.test_runner.domain.endpoint import ToolMode
from services.test_runner.domain.generation import plain_tools
from services.test_runner.domain.test_run import Item, TestRunSpec, answer_seed
from services.test_runner.domain.transcript import AnswerTurn, FinishReason, Message, Transcript, transcript_of
from services.test_runner.ports.generation import Answer, Prompt
from services.test_runner.resolution import protocol_answer


class CaseSession:
    """Asks turn after turn of one case, until the simulated client stops or a fault ends it.

    Attributes:
        key: names it among the sessions of its run; a function of case and repeat alone.
        kept: the transcript that an earlier run made of it, which stands whatever is answered now.
    """

    def __init__(
        self,
        profile: Profile,
        case: Case,
        item: Item,
        spec: TestRunSpec,
        *,
        kept: Transcript | None = None,
        asks: bool = True,
    ) -> None:
        """Begin the session of a case; one that asks nothing is over, and has a transcript that is kept."""
        self.key = f"{case.case_id}#{item.repeat}"
        self.kept, self._asks = kept, asks
        self._profile, self._case, self._repeat, self._spec = profile, case, item.repeat, spec
        self.restart()

    def restart(self) -> None:
        """Begin again, as if nothing had been answered."""
        self._session = Session(self._profile, self._case, self._spec.prompt_size)
        self._turns: list[AnswerTurn] = []
        self._fault: Message | None = None
        self._seconds = 0.0

    @property
    def is_over(self) -> bool:
        """Whether nothing more is asked."""
        return not self._asks or self._fault is not None or self._session.stop is not None

    def prompt(self) -> Prompt:
        """Return what is asked next."""
        endpoint = self._spec.endpoint
        offers_tools = endpoint is None or endpoint.tool_mode is not ToolMode.PROMPT
        return Prompt(
            key=self.key,
            messages=tuple(map(Message.from_chat, self._session.messages)),
            seed=answer_seed(self._spec.seed, self._case.case_id, self._repeat, len(self._turns)),
            tools=plain_tools(self._session.tools) if offers_tools else (),
            stop=endpoint.stop if endpoint else (),
            conversation=self.key,
            # At least a second: asking for less is asking for a fault.
            timeout_seconds=max(self._spec.case_timeout_seconds - self._seconds, 1.0),
        )

    def take(self, answer: Answer) -> None:
        """Take the answer to what was asked last; one that the real client could not read is its server's fault."""
        unread = [departure for departure in answer.departures if departure in self._profile.unread_forms]
        if unread and not answer.finish_reason.is_fault:
            sentence = f"{unread[0].sentence} The client of {self._profile.id} does not read that."
            answer = replace(answer, finish_reason=FinishReason.BACKEND_FAULT, detail=sentence)
        self._turns.append(_turn(answer, len(self._session.messages), log_probs=self._spec.log_probs))
        self._seconds += answer.prefill_seconds + answer.decode_seconds
        if answer.finish_reason.is_fault:
            self._fault = Message("assistant", answer.text)
        else:
            is_cut = answer.finish_reason is FinishReason.LENGTH
            self._session.answer(protocol_answer(self._profile, answer.text, answer.calls, is_cut=is_cut))
            if not self.is_over and self._seconds >= self._spec.case_timeout_seconds:
                self.fail(f"The case took longer than {self._spec.case_timeout_seconds:g} s.")

    def fail(self, sentence: str) -> None:
        """Count what was asked last as a fault of the backend."""
        self.take(Answer(self.key, "", FinishReason.BACKEND_FAULT, detail=sentence))

    def transcript(self, test_run_id: str, sequence: int) -> Transcript:
        """Return what was said; it ends with the last answer."""
        if self.kept is not None:
            return replace(self.kept, test_run_id=test_run_id, sequence=sequence)
        messages = [Message.from_chat(message) for message in self._session.messages]
        messages = [*messages, self._fault] if self._fault else messages[: self._turns[-1].message_index + 1]
        return transcript_of(
            test_run_id,
            sequence,
            case=(self._case.case_id, self._repeat),
            messages=messages,
            turns=self._turns,
            stop="" if self._fault else self._session.stop or "",
        )


def _turn(answer: Answer, message_index: int, *, log_probs: bool) -> AnswerTurn:
    return AnswerTurn(
        message_index=message_index,
        finish_reason=answer.finish_reason,
        token_ids=answer.token_ids,
        log_probs=tuple(item.log_prob or 0.0 for item in answer.tokens) if log_probs else (),
        num_prompt_tokens=answer.num_prompt_tokens,
        num_cached_tokens=answer.num_cached_tokens,
        num_generated_tokens=answer.num_generated_tokens or len(answer.token_ids),
        queue_seconds=answer.queue_seconds,
        prefill_seconds=answer.prefill_seconds,
        decode_seconds=answer.decode_seconds,
        detail=answer.detail,
    )
