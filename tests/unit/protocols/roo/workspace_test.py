import pytest

from services.protocols.roo.normal_forms import is_outside, same_path
from services.protocols.roo.workspace import BadExpression, found_text, is_known_folder, listing, numbered
from services.protocols.turn import ClientState

STATE = ClientState(
    files={"a.py": "one\ntwo\n", "src/b.py": "two\n", "src/deep/c.md": "three", ".rooignore": "*.key", "x.key": "two"},
    paths=frozenset(("lib/d.py", "./src/b.py")),
)


@pytest.mark.parametrize(
    ("path", "same"),
    [
        ("./a//b/", "a/b"),
        ("a/../b", "b"),
        ("../a", "../a"),
        ("a/../../b", "../b"),
        ("", "."),
        (".", "."),
        ("/a/", "/a"),
        (" a ", " a "),
    ],
)
def test_all_spellings_of_a_path_are_one(path: str, same: str) -> None:
    assert same_path(path) == same


def test_what_is_outside_is_outside() -> None:
    assert [is_outside(path) for path in ("a", "..a", "..", "../a", "/a")] == [False, False, True, True, True]


def test_numbers_are_padded_to_the_widest() -> None:
    assert numbered("a\n" * 10).split("\n")[::9] == [" 1 | a", "10 | a"]
    assert numbered("a\nb", 9) == " 9 | a\n10 | b"


def test_a_listing_shows_folders_with_a_slash_and_hides_what_is_ignored() -> None:
    assert listing(STATE, ".", recursive=False) == "a.py\nlib/\nsrc/"
    assert listing(STATE, "src", recursive=True) == "b.py\ndeep/\ndeep/c.md"
    assert listing(STATE, "nowhere", recursive=True) == "There are no files here."


def test_a_long_listing_ends_at_two_hundred_entries() -> None:
    lines = listing(ClientState(files={f"{number:03}": "" for number in range(201)}), ".", recursive=True).split("\n")
    assert (len(lines), lines[199], lines[200][:8]) == (201, "199", "(The lis")


def test_folders_are_known_by_what_is_in_them() -> None:
    assert [is_known_folder(STATE, path) for path in (".", "src", "lib", "a.py", "no")] == [
        True,
        True,
        True,
        False,
        False,
    ]


def test_a_search_goes_by_folder_and_glob_and_leaves_hidden_files_out() -> None:
    assert found_text(STATE, ".", "two", "").startswith(
        "Found 2 results.\n\n# a.py\n  1 | one\n  2 | two\n----\n\n# src/b.py\n"
    )
    assert found_text(STATE, "src", "t", "*.{md,txt}") == "Found 1 result.\n\n# src/deep/c.md\n  1 | three\n----"
    assert found_text(STATE, "src/b.py", "two", "src/*.py").startswith("Found 1 result.")
    assert found_text(STATE, ".", "nowhere", "") == "Found 0 results."


def test_hits_that_are_apart_are_shown_apart() -> None:
    state = ClientState(files={"a": "x\n" + "y\n" * 5 + "x\n"})
    assert found_text(state, ".", "x", "*") == "Found 2 results.\n\n# a\n  1 | x\n  2 | y\n----\n  6 | y\n  7 | x\n----"


@pytest.mark.parametrize("expression", ["(", "a{2,1}", "\\1", "(?=a)", "\ud800"])
def test_an_expression_that_cannot_be_read_is_an_error(expression: str) -> None:
    with pytest.raises(BadExpression):
        found_text(STATE, ".", expression, "")


def test_no_expression_and_no_glob_takes_long() -> None:
    state = ClientState(files={"a": "a" * 5000 + "\ud800"})
    assert found_text(state, ".", "(a+)+$b", "{a,b}" * 30) == "Found 0 results."
    assert found_text(state, ".", "(a*)*$", "{" * 50) == "Found 0 results."
