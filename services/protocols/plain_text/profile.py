"""The profile `text`."""

from collections.abc import Mapping

from services.protocols.cases import Case, CaseError
from services.protocols.contract import Profile, ProfileBase
from services.protocols.plain_text.judge import judge, scoring_of
from services.protocols.plain_text.scorers import scorer_of
from services.protocols.turn import Answer, ClientState, Message, TurnOutcome
from services.protocols.verdict import Verdict

_SINGLE: Mapping[str, object] = {"history": (), "goal": None, "tools": (), "max_turns": 1}


class PlainText(ProfileBase):
    """Questions that are answered in words, as a profile; see `services.protocols.profile.Profile`.

    A case is `prompt`, `task`, and `scoring`, which says what is compared with the answer, and how.
    """

    id = "text"
    version = "1"
    packages = ("services.protocols.plain_text",)
    suite_package = "services.protocols.plain_text"
    prompt_sizes = ("compact",)

    def _opening(self, case: Case, prompt_size: str) -> list[Message]:
        before: list[Message] = [{"role": role, "content": content} for role, content in case.prompt]
        return [*before, {"role": "user", "content": case.task}]

    def _judge(self, case: Case, answer: Answer) -> Verdict:
        return judge(case, answer)

    def take_turn(self, state: ClientState, answer: Answer) -> TurnOutcome:
        """Take the first answer as the last."""
        return TurnOutcome(completed=answer.text)

    def replies(self, state: ClientState, outcome: TurnOutcome) -> list[Message]:
        """Return nothing: nobody answers."""
        return []

    def check_case(self, case: Case) -> None:
        """Raise CaseError when nothing is asked, the scoring is none, or calls or several turns are asked for."""
        for name, value in _SINGLE.items():
            if getattr(case, name) != value:
                raise CaseError(name, "is for protocols with calls")
        if not case.task.strip():
            raise CaseError("task", "is blank")
        scoring = scoring_of(case)
        scorer_of(scoring).check_scoring(scoring)


PROFILE: Profile = PlainText()
