"""Models that the client has read one file a call, and files whose path or range is odd."""

import pytest

from services.protocols.roo_xml.editions import CLASSIC, REFERENCE, Edition
from services.protocols.roo_xml.turn import take_turn
from services.protocols.turn import Answer, ClientState, TurnOutcome

FILES = {"a.txt": "one\ntwo\n", "d/x": "q\n", "empty": "", "hid": "s\n", ".rooignore": "hid\n"}
MODELS = ("x-ai/grok-code-fast-1", "grok-code-fast-1:free", "roo/code-supernova", "code-supernova-1-million")


def turn(text: str, model_id: str = MODELS[0], edition: Edition = REFERENCE) -> tuple[TurnOutcome, ClientState]:
    state = ClientState(files=dict(FILES), model_id=model_id, mistakes=1)
    return take_turn(state, Answer(f"<read_file>{text}</read_file>"), edition), state


@pytest.mark.parametrize("edition", [REFERENCE, CLASSIC])
@pytest.mark.parametrize("model_id", MODELS)
def test_it_reads_the_file_that_path_names(model_id: str, edition: Edition) -> None:
    outcome, state = turn("<path>./a.txt</path>", model_id, edition)
    (call,) = outcome.calls
    assert (call.verdict, call.codes, state.mistakes) == ("accepted", (), 1)
    assert call.reply.startswith('<file><path>./a.txt</path>\n<content lines="1-2">\n1 | one\n')
    assert call.title == "[read_file for './a.txt']"


@pytest.mark.parametrize(
    "further",
    [
        "<start_line>9</start_line><end_line>2</end_line>",
        "<line_range>9-1</line_range>",
        "<args><file><path>gone</path></file></args>",
        "<args><file><path>a.txt</fil</args>",
        "<args><file><path>hid</path></file></args>",
    ],
)
def test_it_knows_neither_ranges_nor_args(further: str) -> None:
    outcome, _ = turn(f"<path>a.txt</path>{further}")
    assert (outcome.calls[0].verdict, outcome.turn_failed) == ("accepted", False)


@pytest.mark.parametrize(
    "text", ["", "<path></path>", "<path> \n</path>", "<args><file><path>a.txt</path></file></args>"]
)
def test_a_call_without_path_is_a_mistake(text: str) -> None:
    outcome, state = turn(text)
    assert (outcome.calls[0].codes, state.mistakes) == (("missing_param:path",), 2)
    assert (dict(outcome.failures), outcome.turn_failed) == ({"read_file": 1}, False)
    assert "<read_file>\n<path>...</path>\n</read_file>" in outcome.calls[0].reply


@pytest.mark.parametrize(
    ("path", "code"),
    [("hid", "ignored_file"), ("gone", "file_not_found"), ("d", "is_directory"), (".", "is_directory")],
)
def test_a_file_that_it_cannot_deliver_counts_nowhere(path: str, code: str) -> None:
    outcome, state = turn(f"<path>{path}</path>")
    assert (outcome.calls[0].verdict, outcome.calls[0].codes) == ("failed", (code,))
    assert (state.mistakes, dict(outcome.failures), outcome.turn_failed) == (1, {}, False)


@pytest.mark.parametrize("model_id", ["grok-code", "grok-code-fast-2", "GROK-CODE-FAST-1", "supernova", ""])
def test_other_models_read_by_args(model_id: str) -> None:
    assert turn("<args><file><path>a.txt</path></file></args>", model_id)[0].calls[0].codes == ()
    assert turn("<path>d</path>", model_id)[0].turn_failed


def test_the_user_may_refuse_it() -> None:
    state = ClientState(files=dict(FILES), model_id=MODELS[0], denied_tools=frozenset(("read_file",)))
    outcome = take_turn(
        state, Answer("<read_file><path>a.txt</path></read_file><list_files><path>.</path></list_files>")
    )
    assert [call.codes for call in outcome.calls] == [("denied_by_user",), ("after_denial",)]


BACKWARDS = "<file><path>a.txt</path><line_range>2-1</line_range></file>"
ODD = "<file><path><b>x</b></path><line_range>9-1</line_range></file>"


@pytest.mark.parametrize(
    ("files", "codes"),
    [
        (ODD + BACKWARDS, ("bad_path_value",)),
        (BACKWARDS + ODD, ("bad_path_value",)),
        ("<file><path>empty</path></file>" + BACKWARDS + ODD, ("bad_path_value", "bad_range")),
        ("<file><path>hid</path></file>" + ODD, ("bad_path_value",)),
        ("<file><path>gone</path></file><file><path>hid</path></file>" + ODD, ("bad_path_value", "ignored_file")),
        ("<file><path>empty</path></file>" + ODD + BACKWARDS + "<file><path>hid</path></file>", ("bad_path_value",)),
        ("<file><path a='1'>a.txt</path></file><file><path a='1'>a.txt</path></file>", ("bad_path_value",)),
        ("<file></file><file><path/></file>" + BACKWARDS, ("bad_range",)),
    ],
)
def test_a_path_that_is_no_text_ends_the_checks_of_a_call(files: str, codes: tuple[str, ...]) -> None:
    outcome, state = turn(f"<args>{files}</args>", "local-model")
    assert (outcome.calls[0].verdict, outcome.calls[0].codes, outcome.turn_failed) == ("failed", codes, True)
    assert (state.mistakes, dict(outcome.failures)) == (1, {})


@pytest.mark.parametrize(
    ("bounds", "code"),
    [
        ("9007199254740993-9007199254740992", "range_beyond_end"),
        ("9007199254740994-9007199254740992", "bad_range"),
        (f"{'9' * 400}-{'9' * 399}", "range_beyond_end"),
        ("1-123456789012345678901234567890", None),
        (f"2-{'9' * 400}", None),
        ("0-1", None),
    ],
)
def test_the_bounds_of_a_range_are_compared_as_doubles(bounds: str, code: str | None) -> None:
    file = f"<file><path>a.txt</path><line_range>{bounds}</line_range></file>"
    outcome, _ = turn(f"<args>{file}</args>", "local-model")
    assert outcome.calls[0].codes == ((code,) if code else ())
    if code is None:
        assert ("2 | two" in outcome.calls[0].reply) == (bounds != "0-1")
