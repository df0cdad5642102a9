#!/bin/sh
# Package: google-re2 1.1.20251105 (PyPI), the Python wrapper of RE2.
# Expected: `\B` is a place between two characters (or at an end) that is no edge of an ASCII word. In "a\u00e9b" each
#   of the four places is an edge, so nothing is found; Python's `re` with the flag ASCII and Node (V8) say so.
# What happens: RE2 looks between the two bytes of the letter as well, where no word begins or ends, and finds a match.
#   Its span is given as (2, 2), the place in front of "b".
# Who passes patterns on to it for their bounded time gets other answers for texts outside ASCII.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check google-re2==1.1.20251105
"$work/venv/bin/python" - <<'PYTHON'
import re

import re2

text = "a\u00e9b"
match = re2.search(r"\B", text)
spans = (match and match.span(), re.search(r"\B", text, re.ASCII), re2.search(r"\B", "a-b"))
print("re2, re, re2 with an ASCII text of the same kind:", *spans)
raise SystemExit(spans != ((2, 2), None, None))
PYTHON
