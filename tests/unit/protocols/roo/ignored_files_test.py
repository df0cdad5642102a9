import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.protocols.roo.ignored_files import MAX_RULES, ignore_rules


@pytest.mark.parametrize(
    ("rules", "hidden", "shown"),
    [
        ("secret", ["secret", "a/secret", "secret/x", "SECRET/x"], ["secrets", "a/b"]),
        ("secret/", ["secret/x", "a/secret/x"], ["secret", "a/secret"]),
        ("/secret", ["secret", "secret/x"], ["a/secret"]),
        ("a/b", ["a/b", "a/b/c"], ["x/a/b", "b"]),
        ("*.key", ["x.key", "a/x.key", ".key"], ["x.keys", "key"]),
        ("a/*.key", ["a/x.key"], ["a/b/x.key", "x.key"]),
        ("a/**", ["a/b", "a/b/c"], ["a", "b/a"]),
        ("**/a", ["a", "x/a", "x/y/a/z"], ["xa"]),
        ("a/**/b", ["a/b", "a/x/b", "a/x/y/b"], ["b", "a/xb"]),
        ("a*", ["a", "ab", "x/ab"], ["ba"]),
        ("a/*", ["a/b", "a/b/c"], ["a"]),
        ("?.c", ["a.c"], ["ab.c", ".c"]),
        ("[ab].c", ["a.c", "B.c"], ["c.c"]),
        ("[a-c].c", ["b.c"], ["d.c"]),
        ("[!a].c", ["a.c", "!.c"], ["b.c"]),
        ("[c-a]", [], ["a", "b", "c"]),
        ("[", [], ["[", "a"]),
        ("# a\n\n   \nb", ["b"], ["a", "# a"]),
        ("\\#a\n\\!b", ["#a", "!b"], ["a", "b"]),
        ("a   ", ["a"], ["a   "]),
        ("a\\ ", ["a "], ["a"]),
        ("a\\", [], ["a"]),
        ("\\*a", ["*a"], ["xa"]),
        ("a\\?", [], ["a?", "ab"]),
        ("a.b(c)+{d}", ["a.b(c)+{d}"], ["aXb(c)+{d}"]),
        ("\ufeffa", ["a"], []),
        ("a\r\nb\r\n", ["a", "b"], []),
        ("*\n!a", ["b"], ["a"]),
        ("!a\na", ["a"], []),
        ("secret\n!secret/ok", ["secret/ok"], []),
        ("secret/*\n!secret/ok", ["secret/no"], ["secret/ok"]),
        ("*\n!", [], ["a", "a/b"]),
        ("x", [".rooignore", "a/.rooignore"], []),
        ("\\w", ["q", "w/x"], ["-", "ab"]),
        ("\\d\\d", ["12"], ["dd", "1"]),
        ("a\\b", ["a", "x/a"], ["ab"]),
        ("\\bin", ["in", "a/in"], ["bin", "n"]),
        ("\\s", [], ["s"]),
        ("\\n", [], ["n", "a"]),
        ("[\\w]x", ["ax", "_x"], ["\\x", "-x"]),
        ("[\\]x]", [], ["]", "x", "\\", "[x]"]),
        ("x[\\]y]", [], ["x]", "xy", "x\\"]),
        ("[a/b]x", [], ["a/bx", "x"]),
        ("[*]", ["[]", "]", "[[]"], ["*]", "*", "a"]),
        ("a\\\\*b", ["ab", "a\\b", "a\\\\b"], ["axb", "a*b"]),
        ("***x", ["x", "abx"], ["a"]),
        ("a\\  b", ["a  b"], ["a b"]),
        ("*\n! ", [], ["a", "a/b"]),
        ("\ufeff/a", ["a"], ["b/a"]),
    ],
)
def test_patterns_hide_what_they_hide_in_the_clients_library(rules: str, hidden: list[str], shown: list[str]) -> None:
    compiled = ignore_rules(rules)
    assert [path for path in hidden if not compiled.hide(path)] == []
    assert [path for path in shown if compiled.hide(path)] == []


@pytest.mark.parametrize(
    ("rules", "hidden", "shown"),
    [
        ("[a/b\n*.key", [], ["x.key", "y"]),
        ("*.key\n[a/b", ["x.key"], ["y"]),
        ("secret\n![x/", [], ["secret", "secret/x", "other"]),
        ("a\n(b\n*.key", ["a", "(b", "x.key"], ["b"]),
    ],
)
def test_a_path_that_comes_to_an_unreadable_rule_is_shown(rules: str, hidden: list[str], shown: list[str]) -> None:
    compiled = ignore_rules(rules)
    assert [path for path in hidden if not compiled.hide(path)] == []
    assert [path for path in shown if compiled.hide(path)] == []


@pytest.mark.parametrize("path", ["", ".", "./", "..", "../a", "/a", "a/../../a"])
def test_the_workspace_itself_and_what_is_outside_is_never_hidden(path: str) -> None:
    assert not ignore_rules("*\n**\na").hide(path)


@pytest.mark.parametrize("text", [None, ""])
def test_without_text_nothing_is_hidden(text: str | None) -> None:
    assert not ignore_rules(text).hide(".rooignore")
    assert ignore_rules(text).hidden_argument("cat .rooignore") is None


def test_the_first_hidden_argument_of_a_reader_is_named() -> None:
    rules = ignore_rules("*.key")
    assert rules.hidden_argument("head -n 3 a.txt b.key c.key") == "b.key"
    assert rules.hidden_argument("ls b.key") is None
    assert rules.hidden_argument("") is None


@given(st.text("ab*?[]!/\\#- .\n(){}^$+|&~", max_size=20), st.text("ab/.[-", min_size=1, max_size=10))
def test_no_pattern_is_too_odd(rules: str, path: str) -> None:
    assert ignore_rules(rules).hide(path) in (True, False)


def test_what_every_path_costs_is_bounded() -> None:
    rules = ignore_rules("\\\\(\\w*\\\\)\\1").rules
    assert rules[0].pattern is None
    assert len(ignore_rules("a\n" * 100_000).rules) == MAX_RULES + 1
