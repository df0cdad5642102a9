import pytest

from services.protocols.javascript.text import from_units, num_units, parse_json, to_units, trim


def test_trim_takes_what_the_client_takes_and_nothing_else() -> None:
    assert trim("\ufeff\u00a0\u2003 a\u2028") == "a"
    assert trim("\x1f\x85a") == "\x1f\x85a"


@pytest.mark.parametrize("text", ["", "abc", "é€", "a🎉b"])
def test_units_can_be_put_together_again(text: str) -> None:
    assert from_units(to_units(text)) == text
    assert num_units(text) == len(to_units(text)) == len(text.encode("utf-16-le")) // 2


def test_half_a_character_becomes_a_replacement() -> None:
    assert from_units(to_units("a🎉")[:2]) == "a\ufffd"


def test_json_is_read_as_the_client_reads_it() -> None:
    assert parse_json('{"a": [1, 2.5, null]}') == {"a": [1, 2.5, None]}
    assert parse_json("1" * 5_000) == float("inf")


@pytest.mark.parametrize("text", ["", "NaN", "[-Infinity]", "{a: 1}", "[1,]", "[" * 100_000])
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_json(text)
