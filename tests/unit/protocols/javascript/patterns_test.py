import json
import random
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.protocols.javascript.patterns import compiled


def matches(pattern: str, text: str, *, any_case: bool = False) -> bool:
    expression = compiled(pattern, any_case=any_case)
    assert expression is not None, pattern
    return expression.search(text)


@pytest.mark.parametrize(
    ("pattern", "text", "is_match"),
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
        (r"\bcat\b", "a cat", True),
        (r"\Bat", "cat", True),
        (r"\B", "aéb", False),
        (r"x*\B", "1Σb", False),
        (r"\B", "éé", True),
        ("", "", True),
    ],
)
def test_an_expression_means_what_it_means_for_the_client(pattern: str, text: str, is_match: bool) -> None:
    assert matches(pattern, text) == is_match


@pytest.mark.parametrize(
    ("pattern", "text", "is_match"),
    [
        (r"^[\w-.]+$", "a-.b", True),
        (r"^[\d-x]+$", "7-x", True),
        (r"[\d-x]", "w", False),
        (r"^[+--]$", ",", True),
        (r"^[^\S]$", "\t", True),
        (r"^[\S\s]+$", "a\nb", True),
        (r"^[\W\d]$", "5", True),
        (r"[a||b]", "|", True),
        (r"[a&&b]", "&", True),
        (r"[--a]", "0", True),
        (r"[\b]", "\b", True),
        (r"[\B]", "B", True),
        (r"[\c]", "\\", True),
        (r"[\c1]", "\x11", True),
        (r"[\c_]", "\x1f", True),
        (r"[\12]", "\n", True),
        (r"[\8]", "8", True),
    ],
)
def test_classes_hold_what_they_hold_for_the_client(pattern: str, text: str, is_match: bool) -> None:
    assert matches(pattern, text) == is_match


@pytest.mark.parametrize(
    ("pattern", "text", "is_match"),
    [
        (r"(?<=^src/.*)\.go$", "src/a/b.go", True),
        (r"(?<=^src/.*)\.go$", "lib/src/b.go", False),
        (r"(?<!\.d|\.spec)\.ts$", "a.d.ts", False),
        (r"(?<=(\w)\1)x", "abx", True),
        (r"(?<=\1(\w))x", "aax", True),
        (r"(?<=\1(\w))x", "abx", False),
        (r"(?<=([a-c]+)([a-c]+))$", "abc", True),
        (r"^(?=(a+))\1b", "aab", True),
        (r"(?!(a))\1b", "b", True),
        (r"(?=a)*b", "b", True),
        (r"^(?<=^.)a", "a", False),
    ],
)
def test_looking_around_takes_any_width_and_keeps_its_groups(pattern: str, text: str, is_match: bool) -> None:
    assert matches(pattern, text) == is_match


@pytest.mark.parametrize(
    ("pattern", "text", "is_match"),
    [
        (r"x(?=\.md$)", "x.md", True),
        (r"x(?=\.md$)", "x.md.x", False),
        (r"(?:^|/)dist(?=$|\/$)", "a/dist/", True),
        (r"(?:^|/)dist(?=$|\/$)", "a/dist/b", False),
        (r"a(?=b(?=c))|(d(?=e))", "abcde", True),
        (r"a(?=b(?=c))|(d(?=e))", "abdf", False),
        (r"(?=a)", "b", False),
    ],
)
def test_what_is_looked_for_ahead_at_the_very_end_takes_no_walk(pattern: str, text: str, is_match: bool) -> None:
    assert matches(pattern, text) == is_match
    expression = compiled(pattern)
    assert expression is not None
    assert expression.linear is not None


@pytest.mark.parametrize("pattern", ["a(?=b)c", "a(?!b)", "(?<=a)b", "(?:a(?=b))*c", r"(a)(?=\1)"])
def test_other_looks_are_walked(pattern: str) -> None:
    expression = compiled(pattern)
    assert expression is not None
    assert expression.linear is None


@pytest.mark.parametrize(
    ("pattern", "text", "is_match"),
    [
        (r"^(?<dir>\w+)/\k<dir>$", "ab/ab", True),
        (r"^(?<dir>\w+)/\k<dir>$", "ab/abc", False),
        (r"^(?:(a)|b)\1$", "b", True),
        (r"^(?:(a)|b)*\1$", "ab", True),
        (r"^(?:(a)|(b))*\1\2$", "abb", True),
        (r"^(?:(a)|(b))*\1\2$", "aba", False),
        (r"\1(a)", "a", True),
        (r"^(a\1)$", "a", True),
        (r"^\k<n>(?<n>x)$", "x", True),
        (r"(?<$é>x)\k<$é>", "xx", True),
        (r"(?<\u0061>x)\k<a>", "xx", True),
        (r"^(z)((a+)?(b+)?(c))*\4$", "zaacbbbcac", True),
        (r"^(a*)*\1$", "b", False),
    ],
)
def test_a_reference_to_what_matched_nothing_is_nothing(pattern: str, text: str, is_match: bool) -> None:
    assert matches(pattern, text) == is_match


@pytest.mark.parametrize(
    ("pattern", "text", "is_match"),
    [
        ("^a{,2}$", "aa", False),
        ("^a{,2}$", "a{,2}", True),
        ("^x{a}$", "x{a}", True),
        ("^}]$", "}]", True),
        ("^{*a$", "{{a", True),
        (r"^\x4$", "x4", True),
        (r"^\x41$", "A", True),
        (r"^\u12$", "u12", True),
        (r"^\u{3}$", "uuu", True),
        (r"^\8\9$", "89", True),
        (r"^\1$", "\x01", True),
        (r"^\101\377\400$", "A\xff\x200", True),
        (r"^\0$", "\0", True),
        (r"^(a)\2$", "a\x02", True),
        (r"^\cJ$", "\n", True),
        (r"^\c$", r"\c", True),
        (r"^\c1$", r"\c1", True),
        (r"^\k<a>$", "k<a>", True),
        (r"^\p{L}$", "p{L}", True),
        (r"^\P$", "P", True),
        (r"^\a\-\_$", "a-_", True),
    ],
)
def test_the_old_liberties_of_the_web_hold(pattern: str, text: str, is_match: bool) -> None:
    assert matches(pattern, text) == is_match


@pytest.mark.parametrize(
    ("pattern", "text", "is_match"),
    [
        ("^.$", "🧪", False),
        ("^..$", "🧪", True),
        ("^🧪$", "🧪", True),
        ("^🧪+$", "🧪🧪", False),
        ("^[🧪]$", "🧪", False),
        ("^[🧪]{2}$", "🧪", True),
        (r"^\ud83e\uddea$", "🧪", True),
        (r"^\W\W(?=$)", "🧪", True),
        (r"(.)\1", "🧪🧪", False),
        (r"^[\ue000-\uffff]$", "\uf000", True),
    ],
)
def test_texts_are_taken_by_utf16_units(pattern: str, text: str, is_match: bool) -> None:
    assert matches(pattern, text) == is_match


@pytest.mark.parametrize(
    ("pattern", "text", "is_match"),
    [
        ("^SRC/ä$", "src/Ä", True),
        ("k", "\u212a", False),
        ("s", "\u017f", False),
        ("^[^-a-z]$", "X", False),
        (r"^[^\Wa]$", "A", False),
        ("ß", "ẞ", False),
        (r"^(a)\1$", "aA", True),
        ("ǆ", "ǅ", True),
    ],
)
def test_case_is_left_out_by_the_old_rule(pattern: str, text: str, is_match: bool) -> None:
    assert matches(pattern, text, any_case=True) == is_match


@pytest.mark.parametrize(
    "pattern",
    [
        *("(", ")", "[a", "a**", "a++", "*", "a{2}+", "{1}", "a{2,1}", "a|*", "\\", "[b-a]"),
        *(
            "(?i)a",
            "(?i:a)",
            "(?P<x>a)",
            "(?>a)",
            "(?",
            "(?<",
            "(?<>a)",
            "(?<1>a)",
            "(?<a>x)(?<a>y)",
            "(?<a>x)|(?<a>y)",
        ),
        *(r"(?<a>x)\k", r"(?<a>x)\k<b>", r"(?<a>x)[\k]", r"\b*", "^*", "(?:$+)", "(?<=a)*", "(?<!a){2}"),
        *("(?:a{1000}){1000}", "(" * 100 + ")" * 100, "a" * 5000),
    ],
)
def test_an_expression_that_is_none(pattern: str) -> None:
    assert compiled(pattern) is None


@pytest.mark.parametrize(
    ("pattern", "text", "is_match"),
    [
        ("(?:a|a)*b", "a" * 100_000, False),
        ("^(?=(?:a|aa)+$).*!", "a" * 3_000, False),
        (r"^(?!.*secret).*\.md$", "a/" * 2_000 + "x.md", True),
        (r"(?<=^src/.*)\.go$", "src/" + "a" * 5_000 + ".go", True),
        (r"^(a+)+\1!", "a" * 60, False),
        (r"(?:(?:(?:){20000}){20000}){20000}a", "a", True),
        ("^(?:a|){1500}b", "aab", True),
        ("^a{1200,}(?=b)", "a" * 1_300 + "b", True),
    ],
)
def test_a_search_ends_where_engines_that_try_all_ways_do_not(pattern: str, text: str, is_match: bool) -> None:
    assert matches(pattern, text) == is_match


@given(st.text(alphabet="a.*+?()[]{}^$|\\sSdw-,1:=!<>🧪", max_size=12), st.text("ab-1 🧪", max_size=6))
def test_no_expression_is_too_odd(pattern: str, text: str) -> None:
    expression = compiled(pattern)
    assert expression is None or expression.search(text) in (True, False)


PIECES = (
    *("a", "b", "-", "🧪", "é", "}", "]", "{", ".", "^", "$", "|", "(", "(?:", "(?=", "(?!", "(?<=", "(?<!", "(?<n>"),
    *(")", ")", ")", "*", "+", "??", "{2}", "{,2}", "{1,}", "[", "[^", "\\w", "\\D", "\\S", "\\b", "\\B", "\\1", "\\8"),
    *("\\12", "\\c", "\\cJ", "\\x4", "\\u12", "\\k", "\\k<n>", "\\p{L}", "[\\w-.]", "[^\\S]", "[\\d-x]", "[a-b]"),
)
TEXTS = ("", "a", "ab", "aab", "b-a", "aéb", "🧪", "a🧪é", "\n", "\\", "p{L}", "8", "u12", "x4", "AB", "k<n>a")
PROGRAM = """
const cases = JSON.parse(require("fs").readFileSync(0, "utf8"));
const search = ([pattern, flags, text]) => {
  try { return new RegExp(pattern, flags).test(text) } catch { return null }
};
console.log(JSON.stringify(cases.map(search)));
"""


def test_random_expressions_mean_what_they_mean_in_node() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no node; install the package nodejs to compare with its regular expressions")
    draw = random.Random(7)
    cases = [
        ("".join(draw.choices(PIECES, k=draw.randint(1, 8))), draw.choice(["", "i"]), draw.choice(TEXTS))
        for _ in range(4_000)
    ]
    answers = subprocess.run([node, "-e", PROGRAM], input=json.dumps(cases), capture_output=True, text=True, check=True)
    differences = [
        (case, answer)
        for case, answer in zip(cases, json.loads(answers.stdout), strict=True)
        if answer != searched(*case)
    ]
    assert differences == []


def searched(pattern: str, flags: str, text: str) -> bool | None:
    expression = compiled(pattern, any_case=flags == "i")
    return expression.search(text) if expression else None
