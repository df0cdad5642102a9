import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.protocols.roo_native.tools.edit.patch import (
    FileChange,
    Hunk,
    Operation,
    PatchError,
    changes_of,
    patched,
    read_patch,
)


def wrapped(*lines: str) -> str:
    return "\n".join(("*** Begin Patch", *lines, "*** End Patch"))


def updated(text: str, *lines: str) -> str:
    (operation,) = read_patch(wrapped("*** Update File: a", *lines))
    return patched(text, operation.hunks)


def problem(patch: str) -> PatchError:
    with pytest.raises(PatchError) as caught:
        read_patch(patch)
    return caught.value


def test_the_operations_are_read_in_order() -> None:
    patch = wrapped(
        "*** Add File: n.txt",
        "+one",
        "+",
        "*** Delete File: d.txt ",
        "*** Update File: u.txt",
        "*** Move to: v.txt",
        "@@ def f",
        " keep",
        "-old",
        "+new",
        "",
        "*** End of File",
    )
    assert read_patch(patch) == (
        Operation("add", "n.txt", "one\n\n"),
        Operation("delete", "d.txt"),
        Operation(
            "update",
            "u.txt",
            move_to="v.txt",
            hunks=(Hunk("def f", ("keep", "old", ""), ("keep", "new", ""), True),),
        ),
    )


@pytest.mark.parametrize("opening", ["<<EOF", "<<'EOF'", '<<"EOF"'])
def test_a_heredoc_around_it_is_borne(opening: str) -> None:
    assert read_patch(f"\n{opening}\n{wrapped('*** Delete File: a')}\nEOF\n") == (Operation("delete", "a"),)


def test_blanks_around_the_first_and_last_line_do_not_count() -> None:
    assert read_patch(" \n *** Begin Patch \n*** End Patch\t\n") == ()


@pytest.mark.parametrize(
    ("patch", "line"),
    [
        ("", 1),
        ("*** Begin Patch", 1),
        ("*** Begin patch\n*** End Patch", 1),
        ("x\n*** Begin Patch\n*** End Patch", 1),
        ("*** Begin Patch\n*** Delete File: a", 2),
        ("<<EOF\n*** Begin Patch\n*** Delete File: a\nEOF", 3),
        (wrapped("garbage"), 2),
        (wrapped("*** Add File: a", "one"), 3),
        (wrapped("*** Add File: a", "+x", ""), 4),
        (wrapped("*** Add File:"), 2),
        (wrapped("*** Update File: a"), 3),
        (wrapped("*** Update File: a", "@@"), 4),
        (wrapped("*** Update File: a", "@@", "x"), 4),
        (wrapped("*** Update File: a", "@@x", "-y"), 3),
        (wrapped("*** Update File: a", "-x", "y"), 4),
        (wrapped("*** Update File: a", "@@", "*** End of File"), 4),
        (wrapped("*** Update File: a", "-x\r", "@@\r", "-y\r"), 4),
    ],
)
def test_a_text_that_is_no_patch_names_the_line(patch: str, line: int) -> None:
    found = problem(patch)
    assert (found.code, found.line if line > 1 else 1) == ("bad_patch", line)


def test_the_first_hunk_needs_no_opening_and_blank_lines_between_hunks_are_context() -> None:
    assert updated("a\nb\nc\n\nd\n", "-a", "+A", "@@ c", "", "-d", "+D") == "A\nb\nc\n\nD\n"


def test_hunks_are_sought_forward_from_the_last_hit() -> None:
    assert updated("x\ny\nx\ny\n", "@@", "-x", "+1", "@@", "-x", "+2") == "1\ny\n2\ny\n"
    with pytest.raises(PatchError, match="not in the file"):
        updated("x\ny\n", "@@", "-y", "+1", "@@", "-x", "+2")


def test_a_context_line_moves_the_search_behind_it() -> None:
    text = "def f():\n    return 1\ndef g():\n    return 1\n"
    assert updated(text, "@@ def g():", "-    return 1", "+    return 2").endswith("def g():\n    return 2\n")
    with pytest.raises(PatchError, match="no line 'def h"):
        updated(text, "@@ def h():", "-    return 1", "+    return 2")


@pytest.mark.parametrize(
    ("text", "old"),
    [("a b\n", "a b"), ("a b  \n", "a b"), ("\ta b\n", "a b "), ("“a” – b\u00a0c…\n", '"a" - b c…')],
)
def test_lines_match_exactly_then_without_blanks_then_without_typography(text: str, old: str) -> None:
    assert updated(text, "@@", f"-{old}", "+new") == "new\n"


def test_a_stricter_match_further_down_goes_first() -> None:
    assert updated(" x\nx\n", "@@", "-x", "+new") == " x\nnew\n"


def test_a_hunk_at_the_end_of_the_file_is_pinned_there() -> None:
    assert updated("x\ny\nx\n", "@@", "-x", "+z", "*** End of File") == "x\ny\nz\n"
    with pytest.raises(PatchError):
        updated("x\ny\n", "@@", "-x", "+z", "*** End of File")
    with pytest.raises(PatchError):
        updated("x\n", "@@", "-x", "-y", "-z", "+z", "*** End of File")


def test_an_empty_last_context_line_may_be_missing_in_the_file() -> None:
    assert updated("a\nb\n", "@@", "-b", "+c", "") == "a\nc\n"


def test_lines_without_old_ones_go_to_the_end() -> None:
    assert updated("a\n", "@@", "+b") == "a\nb\n"
    assert updated("a\n\n", "@@", "+b") == "a\nb\n"
    assert updated("", "@@", "+b") == "b\n"


@pytest.mark.parametrize("text", ["a", "a\n", "a\nb"])
def test_the_result_ends_in_a_line_break(text: str) -> None:
    assert updated(text, "@@", "-a", "+A").endswith("\n")


def test_all_lines_gone_leaves_an_empty_file() -> None:
    assert updated("a\n", "@@", "-a") == ""


def test_changes_are_computed_from_the_files_as_they_are() -> None:
    files = {"a": "x\n", "d": "bye\n"}
    operations = read_patch(
        wrapped("*** Update File: a", "@@", "-x", "+y", "*** Delete File: d", "*** Add File: n", "+new")
    )
    assert changes_of(operations, files.get) == [
        FileChange("a", "x\n", "y\n"),
        FileChange("d", "bye\n", None),
        FileChange("n", None, "new\n"),
    ]


@pytest.mark.parametrize("header", ["*** Delete File: gone", "*** Update File: gone\n@@\n-x"])
def test_a_missing_file_stops_the_patch(header: str) -> None:
    with pytest.raises(PatchError) as caught:
        changes_of(read_patch(wrapped(header)), {}.get)
    assert caught.value.code == "file_not_found"


pieces = st.sampled_from(
    [
        *("*** Begin Patch", "*** End Patch", "*** Add File: a", "*** Delete File: a", "*** Update File: a"),
        *("*** Move to: b", "*** End of File", "@@", "@@ x", " x", "-x", "+x", "x", "", " ", "-", "+", "<<EOF", "EOF"),
    ]
)


@settings(deadline=None, max_examples=400)
@given(st.lists(pieces, max_size=14), st.lists(st.sampled_from(["x", " x", "", "y"]), max_size=8), st.booleans())
def test_every_patch_is_applied_or_refused(lines: list[str], text: list[str], wrap: bool) -> None:
    patch = wrapped(*lines) if wrap else "\n".join(lines)
    try:
        changes = changes_of(read_patch(patch), lambda path: "\n".join(text))
    except PatchError as bad:
        assert bad.code in ("bad_patch", "no_match", "file_not_found")
    else:
        assert all(change.after in (None, "") or str(change.after).endswith("\n") for change in changes)
