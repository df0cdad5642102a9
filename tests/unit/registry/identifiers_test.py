import pytest

from services.chassis.errors import InvalidArgument
from services.chassis.wire.names import check_dataset_id, shown
from services.registry.domain.identifiers import (
    VersionRef,
    check_model_id,
    check_produced_by,
    check_request_id,
    check_test_suite_id,
    version_ref,
)
from services.registry.domain.paging import page_request


@pytest.mark.parametrize(
    ("text", "ref"),
    [
        ("tiny", VersionRef("tiny", None)),
        ("tiny@1", VersionRef("tiny", 1)),
        ("roo_xml/core@12", VersionRef("roo_xml/core", 12)),
        ("tiny@0", VersionRef("tiny@0", None)),
        ("tiny@01", VersionRef("tiny@01", None)),
        ("tiny@-1", VersionRef("tiny@-1", None)),
        ("tiny@9999999999", VersionRef("tiny@9999999999", None)),
        ("tiny@²", VersionRef("tiny@²", None)),
        ("", VersionRef("", None)),
        ("a\0b", VersionRef("", None)),
        ("x" * 500, VersionRef("", None)),
    ],
)
def test_a_reference_is_an_id_with_or_without_a_number(text: str, ref: VersionRef) -> None:
    assert version_ref(text) == ref


@pytest.mark.parametrize("model_id", ["a", "smollm2-135m-instruct", "llama-3.2-1b", "0"])
def test_ordinary_names_are_model_ids(model_id: str) -> None:
    check_model_id(model_id)


HOSTILE = [
    "",
    ".",
    "..",
    "a..b",
    "../a",
    "/a",
    "a/",
    "a//b",
    "a\0",
    "a\n",
    "%2e%2e",
    "A",
    "ä",
    "a b",
    "-a",
    "a-",
    "a@1",
]


@pytest.mark.parametrize("name", [*HOSTILE, "a/b", "x" * 101, "C:\\x", "\\\\host\\x", "аdmin"])
def test_hostile_names_are_no_model_ids(name: str) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        check_model_id(name)
    assert refusal.value.fields["field"] == "model_id"
    assert str(refusal.value).isprintable()
    assert str(refusal.value).isascii()


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_no_dataset_ids(name: str) -> None:
    with pytest.raises(InvalidArgument):
        check_dataset_id(name)


@pytest.mark.parametrize("name", [*HOSTILE, "core", "roo_xml", "roo_xml/a/b", "/core", "Roo/core"])
def test_hostile_names_are_no_suite_ids(name: str) -> None:
    with pytest.raises(InvalidArgument):
        check_test_suite_id(name)


def test_a_suite_is_named_after_its_profile() -> None:
    check_test_suite_id("roo_xml/probe-1.a")
    check_dataset_id("roo_xml/drill/loop-1")


@pytest.mark.parametrize("text", ["x" * 201, "a\nb", "a\x1b[31m"])
def test_texts_of_callers_are_short_and_printable(text: str) -> None:
    with pytest.raises(InvalidArgument):
        check_produced_by(text)
    with pytest.raises(InvalidArgument):
        check_request_id(text)


def test_what_is_shown_of_a_name_cannot_forge_a_line() -> None:
    assert shown("a\n{}\x1b") == r"'a\n{}\x1b'"
    assert len(shown("x" * 10_000)) < 100


@pytest.mark.parametrize(("size", "token"), [(-1, ""), (1001, "")])
def test_a_page_out_of_bounds_is_refused(size: int, token: str) -> None:
    with pytest.raises(InvalidArgument):
        page_request(size, token)


def test_no_page_size_means_fifty() -> None:
    assert page_request(0, "").size == 50
