import pytest

from services.protocols.roo.normal_forms import decoded, decoded_for, written_text
from services.protocols.session.memory import is_repeated_too_often
from services.protocols.turn import ClientState


@pytest.mark.parametrize(
    ("calls", "limit", "refused"),
    [
        ("aaaaaaaa", 3, [3, 7]),
        ("aaabaaaa", 3, [7]),
        ("ababab", 1, []),
        ("aaaa", 1, [1, 3]),
        ("aaaaaa", 0, []),
        ("aaaa", 5, []),
    ],
)
def test_one_call_too_many_in_a_row_is_refused_and_counting_starts_anew(
    calls: str, limit: int, refused: list[int]
) -> None:
    state = ClientState(mistake_limit=limit)
    assert [place for place, call in enumerate(calls) if is_repeated_too_often(state, call)] == refused


def test_entities_are_decoded_once_and_ampersands_last() -> None:
    text = "&lt;&gt;&quot;&#39;&apos;&#91;&#93;&lsqb;&rsqb;&amp;lt;&nbsp;"
    assert decoded(text) == "<>\"''[][]&lt;&nbsp;"
    assert decoded_for("my-claude", text) == text


@pytest.mark.parametrize(
    ("content", "text"),
    [("```", ""), ("```\n```", ""), ("a\n```", "a"), ("```x", ""), ("", ""), ("1 | a\n\n2 | b", "1 | a\n\n2 | b")],
)
def test_fences_around_a_file_are_dropped(content: str, text: str) -> None:
    assert written_text(content) == text
