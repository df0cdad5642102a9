from hypothesis import given
from hypothesis import strategies as st

from services.protocols.roo_xml.parse import reasoning_end


def shown(answer: str) -> str:
    """Return what is left of an answer, by the connection's own automaton: character by character."""
    state, index, depth, matched, kept, held = "text", 0, 0, False, "", ""
    for place, char in enumerate(answer):
        held += char
        if state == "text":
            if char == "<" and (place == 0 or matched):
                state, index = "open", 0
            else:
                kept, held = kept + held * (not matched), ""
        elif char == ">" and index == len("think"):
            depth += 1 if state == "open" else -1
            matched, held, state = depth > 0, "", "text"
        elif state == "open" and index == 0 and char == "/":
            state = "close"
        elif char == " " and index in (0, len("think")):
            continue
        elif char == "think"[index : index + 1]:
            index += 1
        else:
            state, kept, held = "text", kept + held * (not matched), ""
    return kept + held * (not matched)


PIECES = st.sampled_from(
    ["<think>", "</think>", "<", ">", "</", "think", "< think >", "</ think>", " ", "a", "<th", "/"]
)


@given(st.lists(PIECES, max_size=12).map("".join))
def test_the_rest_is_what_the_connections_automaton_leaves(answer: str) -> None:
    assert answer[reasoning_end(answer) :] == shown(answer)


def test_blocks_nest_and_an_open_one_takes_everything() -> None:
    assert reasoning_end("<think>a<think>b</think>c</think>d") == len("<think>a<think>b</think>c</think>")
    assert reasoning_end("<think>a") == len("<think>a")
    assert reasoning_end("a<think>b</think>") == 0
    assert reasoning_end("<thinking>b</thinking>") == 0
