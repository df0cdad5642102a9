import pytest

from services.protocols.roo.checklist import Item, read_checklist, write_checklist


@pytest.mark.parametrize(
    ("line", "item"),
    [
        ("[ ] a", ("pending", "a")),
        ("[x] a", ("completed", "a")),
        ("- [X]  a b ", ("completed", "a b")),
        ("\t-[-] a", ("in_progress", "a")),
        ("[ ~ ] a", ("in_progress", "a")),
        ("[   ] a", ("pending", "a")),
    ],
)
def test_an_item_has_a_mark_and_a_text(line: str, item: Item) -> None:
    assert read_checklist(line) == ((item,), ())


@pytest.mark.parametrize("line", ["* [ ] a", "1. [ ] a", "[] a", "[x]a", "[ ]", "[o] a", "--[ ] a", "# a", "a"])
def test_lines_that_are_no_items_are_dropped_and_told(line: str) -> None:
    assert read_checklist(f"[ ] kept\n{line}\n\n") == ((("pending", "kept"),), (line,))


def test_a_list_survives_its_text() -> None:
    items: tuple[Item, ...] = (("completed", "a"), ("in_progress", "b"), ("pending", "c"))
    assert read_checklist(write_checklist(items)) == (items, ())
    assert write_checklist(items) == "[x] a\n[-] b\n[ ] c"
