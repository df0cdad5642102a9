from dataclasses import replace

import pytest

from services.protocols.cases import Case, CaseError, Expected
from services.protocols.roo_xml.profile import CLASSIC_PROFILE, PROFILE
from services.protocols.session import Session
from services.protocols.turn import Answer, ClientState

CASE = Case(
    "c", "k", "list_files", "code", "List it.", Expected("list_files", {"path": "."}), "t", "r", {"a.py": "x\n"}
)


def test_a_case_must_name_a_tool_and_a_mode_of_the_client() -> None:
    PROFILE.check_case(CASE)
    inserting = replace(CASE, tool="insert_content", expected=Expected("insert_content"))
    CLASSIC_PROFILE.check_case(inserting)
    with pytest.raises(CaseError, match=r"expected\.tool"):
        PROFILE.check_case(inserting)
    with pytest.raises(CaseError, match="mode"):
        PROFILE.check_case(replace(CASE, mode="nowhere"))


def test_a_task_of_several_turns_runs_to_its_completion() -> None:
    session = Session(PROFILE, replace(CASE, max_turns=4), "compact")
    session.answer(Answer("<read_file><args><file><path>a.py</path></file></args></read_file>"))
    assert "1 | x" in str(session.messages[-1]["content"])
    session.answer(Answer("Hm."))
    session.answer(Answer("<write_to_file><path>a.py</path><content>y</content></write_to_file>"))
    session.answer(Answer("<attempt_completion><result>Done.</result></attempt_completion>"))
    transcript = session.transcript()
    assert (transcript.stop, dict(transcript.files)) == ("completed", {"a.py": "y"})


def test_both_clients_answer_the_same_questions_of_vectors() -> None:
    assert set(PROFILE.vector_operations) == {"parse", "args", "diff", "validate", "todos", "repeat", "turn"}
    assert set(CLASSIC_PROFILE.vector_operations) == set(PROFILE.vector_operations)


def test_replies_are_the_clients() -> None:
    state = ClientState()
    (message,) = PROFILE.replies(state, PROFILE.take_turn(state, Answer("Hm.")))
    assert str(message["content"]).startswith("Your answer called no tool")
