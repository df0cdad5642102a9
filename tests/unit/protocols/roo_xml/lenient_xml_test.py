from contextlib import suppress

import pytest

from services.protocols.roo_xml.nested.lenient_xml import MAX_DEPTH, Unreadable, read
from tests.machine import takes_less_than


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("<a> x </a>", {"a": "x"}),
        ("<a>1</a><a>2</a><a/>", {"a": ["1", "2", ""]}),
        ("<a b='1' c>t</a>", {"a": {"#text": "t", "@_b": "1"}}),
        ('<a b="x>y"/>', {"a": {"@_b": "x>y"}}),
        ("<a><![CDATA[ <b> &amp; ]]></a>", {"a": " <b> &amp; "}),
        ("<a>x<!-- <b> -->y</a>", {"a": "xy"}),
        ("<a>&lt;&gt;&quot;&#39;&amp;lt;&copy;</a>", {"a": "<>\"'&lt;&copy;"}),
        ("<?xml version='1'?><a/>", {"?xml": {"@_version": "1"}, "a": ""}),
        ("<!DOCTYPE a><a/>", {"a": ""}),
        ('<!DOCTYPE a [<!ENTITY q "w">]><a>&q;</a>', {"a": "w"}),
        ("<a\r\nb='1'>x\r\ny</a>", {"a": {"#text": "x\ny", "@_b": "1"}}),
        ("<__proto__>x</__proto__>", {"#__proto__": "x"}),
        ("<a><b>1</a></b><c>2</c>", {"a": {"b": "1"}, "c": "2"}),
    ],
)
def test_elements_are_read_leniently(text: str, value: object) -> None:
    assert read(text) == value


def test_a_raw_element_keeps_its_inside() -> None:
    text = "<s> &lt; <b>x</b> <!-- </s> --> <![CDATA[ </s> ]]> <?p </s> ?> <s>nested</s> </s>"
    assert read(text, ("s",)) == {"s": text[3:-4]}


def test_only_top_level_elements_are_raw() -> None:
    assert read("<a><s> <b>x</b> </s></a>", ("s",)) == {"a": {"s": {"b": "x"}}}


@pytest.mark.parametrize(
    "text",
    [
        "<a",
        "</a",
        "<a 'x>",
        "<a><!-- ",
        "<![CDATA[ ",
        "<? x",
        "<!DOCTYPE",
        "<!Dx>",
        "</a><b/>",
        "</a><![CDATA[x]]>",
        "</a><?x?>",
    ],
)
def test_cut_markup_is_unreadable(text: str) -> None:
    with pytest.raises(Unreadable):
        read(text)


@pytest.mark.parametrize("text", ["<s>", "<s><b", "<s></s", "<s><!--", "<s><![CDATA[", "<s><?", '<s><b ">'])
def test_an_unclosed_raw_element_is_unreadable(text: str) -> None:
    with pytest.raises(Unreadable):
        read(text, ("s",))


def test_nesting_beyond_the_limit_is_unreadable() -> None:
    assert read("<a>" * MAX_DEPTH)
    with pytest.raises(Unreadable, match="nested deeper"):
        read("<a>" * 30_000)


@pytest.mark.parametrize(
    "piece", ["<", '<"', "<s>", "<s '", "</s>", "<!-- -->", "a<!---->", "<a b='", "&amp;", '<s><b "']
)
def test_hostile_values_take_less_than_two_seconds(piece: str) -> None:
    text = "<s>" + piece * (100_000 // len(piece))

    def read_both() -> None:
        for raw in ((), ("s",)):
            with suppress(Unreadable):
                read(text, raw)

    assert takes_less_than(2, read_both)
