#!/bin/sh
# Package: regress 2026.9.1 (PyPI), "ECMAScript regular expressions".
# Expected: an expression without the flags `u` and `v` is matched by UTF-16 units, as ECMA-262 says, so that `^.$`
#   does not match U+1F9EA, which has two units, and `^..$` does; and an assertion such as `\b` cannot be repeated.
# What happens: the text is matched by code points whatever the flags, so `^.$` matches and `^..$` does not; `\b+` is
#   accepted. Node (V8) answers false, true and SyntaxError.
# Who checks file patterns of a JavaScript client with it gets other answers on names outside the basic plane.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check regress==2026.9.1
"$work/venv/bin/python" - <<'PYTHON'
from regress import Regex, RegressError


def search(pattern: str, text: str) -> str:
    try:
        return str(Regex(pattern).find(text) is not None)
    except RegressError:
        return "refused"


answers = [search("^.$", "\U0001f9ea"), search("^..$", "\U0001f9ea"), search(r"\b+a", "a")]
print("one dot, two dots, repeated assertion:", *answers)
raise SystemExit(answers != ["True", "False", "True"])
PYTHON
