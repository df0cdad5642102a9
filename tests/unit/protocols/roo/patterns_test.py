import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.protocols.roo.patterns import compiled


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        (r"\.md$", "a.md", True),
        (r"\.md$", "a.md\n", False),
        (r"(\.js|\.ts$)", "a.ts\n", False),
        (r"\$", "a$b", True),
        (r"[$]", "a$b", True),
        (r"a.b", "a\u2028b", False),
        (r"[[a]", "[", True),
        (r"[^]", "\n", True),
        (r"x[]", "x", False),
        (r"[\s]", "\ufeff", True),
        (r"\s", "\u00a0", True),
        (r"\S", "\u3000", False),
        (r"\d", "٣", False),
        (r"\w", "ä", False),
        (r"\/src\/", "a/src/b", True),
        (r"\e\Z", "eZ", True),
        (r"(?<dir>src|lib)/", "lib/a", True),
        (r"^(?!.*secret).*$", "a/b", True),
        (r"^(?!.*secret).*$", "secret/b", False),
        (r"(?<!test)\.py$", "a.py", True),
        (r"a{2}", "aa", True),
        (r"a+?b", "aab", True),
    ],
)
def test_an_expression_means_what_it_means_for_the_client(pattern: str, text: str, found: bool) -> None:
    expression = compiled(pattern)
    assert expression is not None
    assert bool(expression.search(text)) == found


@pytest.mark.parametrize("pattern", ["(", "[a", "a**", "a++", "(?i)a", "(?P<x>a)", "(?>a)", r"[\S]", "*", "a{2}+"])
def test_an_expression_that_is_none(pattern: str) -> None:
    assert compiled(pattern) is None


@pytest.mark.parametrize(("pattern", "text"), [("[+--]", ","), ("[a||b]", "|"), ("[a&&b]", "&"), ("[--a]", "0")])
def test_a_class_knows_no_operations_on_sets(pattern: str, text: str) -> None:
    expression = compiled(pattern)
    assert expression is not None
    assert expression.search(text)


@given(st.text(alphabet="a.*+?()[]{}^$|\\sSdw-,1:=!<>", max_size=12))
def test_no_expression_breaks_the_translation(pattern: str) -> None:
    expression = compiled(pattern)
    assert expression is None or expression.pattern is not None
