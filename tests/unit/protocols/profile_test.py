import subprocess
import sys
from dataclasses import replace

import pytest

from services.protocols.cases import Case, Expected, Goal
from services.protocols.contract import UnknownPromptSize
from services.protocols.profile import Message, NoMaterial, ProfileBase, UnknownProfile, get_profile, profile_ids
from services.protocols.session import Session, judge_session, state_of
from services.protocols.turn import Answer, CallOutcome, ClientState, TurnOutcome
from services.protocols.verdict import Cause, LayerName, Verdict, passed, verdict_of
from tests.machine import PATIENCE_SECONDS


def test_an_unknown_profile_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownProfile, match=r"'roo_json'.*roo_xml"):
        get_profile("roo_json")


def test_every_listed_profile_can_be_had() -> None:
    assert [get_profile(profile_id).id for profile_id in profile_ids()] == list(profile_ids())


def test_the_digest_is_stable_and_covers_the_data() -> None:
    profile = get_profile("roo_xml")
    assert profile.digest == get_profile("roo_xml").digest
    assert profile.digest.startswith("sha256:")
    assert len(profile.digest) == len("sha256:") + 64


def test_an_example_is_the_prompt_with_the_reference_answer() -> None:
    profile = get_profile("roo_xml")
    case = profile.suites()[0].cases[0]
    example = profile.example(case, "compact")
    assert example["messages"][:2] == profile.messages(case, "compact")
    assert example["messages"][2] == {"role": "assistant", "content": profile.reference_answer(case)}


def test_an_unknown_prompt_size_is_refused() -> None:
    profile = get_profile("roo_xml")
    with pytest.raises(UnknownPromptSize, match="compact, full"):
        profile.messages(profile.suites()[0].cases[0], "huge")


def test_using_a_profile_loads_nothing_heavy() -> None:
    code = (
        "import sys; from services.protocols.profile import get_profile; p = get_profile('roo_xml');"
        "c = p.suites()[0].cases[0]; assert p.judge(c, p.read_answer(p.reference_answer(c))).conforming;"
        "heavy = {'torch', 'transformers', 'grpc', 'google.protobuf', 'sqlalchemy', 'ray'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=PATIENCE_SECONDS)


class Echo(ProfileBase):
    id = "echo"
    version = "1"
    packages = ("services.protocols.roo",)
    prompt_sizes = ("compact",)

    def _opening(self, case: Case, prompt_size: str) -> list[Message]:
        return [{"role": "user", "content": case.task}]

    def _judge(self, case: Case, answer: Answer) -> Verdict:
        state = state_of(case)
        accepted = self.take_turn(state, answer).calls[0].verdict == "accepted"
        return verdict_of((passed(LayerName.CALL_PRESENT),), accepted=accepted, tool="say")

    def take_turn(self, state: ClientState, answer: Answer) -> TurnOutcome:
        if answer.text == "bad":
            state.mistakes += 1
            return TurnOutcome((CallOutcome("say", "failed", ("something_else",)),))
        return TurnOutcome((CallOutcome("say", "accepted", ("denied_by_user",), answer.text),))

    def replies(self, state: ClientState, outcome: TurnOutcome) -> list[Message]:
        return [{"role": "user", "content": outcome.calls[0].reply}]


ECHO = Echo()
PLAIN = Case("c", "k", "say", "", "Say it.", Expected("say"), "t", "good")


def test_a_profile_without_material_says_so() -> None:
    assert (ECHO.suites(), ECHO.tools_for(PLAIN)) == ((), [])
    ECHO.check_case(PLAIN)
    with pytest.raises(NoMaterial, match="echo has nothing to draw"):
        ECHO.draw(1, 1)


def test_the_base_plays_histories_and_forgives_at_the_mistake_limit() -> None:
    case = replace(PLAIN, history=(Answer("bad"),) * 3 + (Answer("good"),))
    assert len(ECHO.messages(case, "compact")) == 9
    assert ECHO.judge(case, Answer("good")).accepted
    session = Session(ECHO, replace(case, max_turns=2), "compact")
    session.answer(Answer("good"))
    assert session.stop is None


def test_a_code_that_nobody_knows_is_a_failed_call() -> None:
    verdict = ECHO.judge(replace(PLAIN, history=(Answer("good"),)), Answer("bad"))
    assert (verdict.accepted, verdict.cause) == (False, Cause.EFFECT_FAILED)
    assert verdict.sentence == "The client answers say with something_else."


def test_files_that_the_right_answer_reads_exist_for_the_client() -> None:
    listed = Expected("read_file", {"files": [{"path": "a.py"}, {"path": {"#text": "b"}}, "c.py"]})
    assert state_of(replace(PLAIN, expected=listed)).paths == {"a.py"}
    assert state_of(replace(PLAIN, expected=Expected("read_file", {"path": "d.py"}))).paths == {"d.py"}
    assert state_of(replace(PLAIN, expected=Expected("write_to_file", {"path": "d.py"}))).paths == set()


def test_a_file_that_should_be_there_is_missed() -> None:
    case = replace(PLAIN, max_turns=3, goal=Goal({"new.py": "x"}))
    profile = get_profile("openai_tools")
    session = Session(profile, case, "bare")
    session.answer(Answer("Done."))
    assert judge_session(profile, case, session.transcript()).sentence == "new.py is not there."
