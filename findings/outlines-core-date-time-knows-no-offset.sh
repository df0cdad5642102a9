#!/bin/sh
# Packages: outlines-core 0.2.14 and llguidance 1.9.1 (PyPI), both for JSON schemas of which a model writes instances.
# Expected: {"type": "string", "format": "date-time"} is a time of RFC 3339: a zone is a must, Z or an offset such as
#   +05:30, and the fraction of a second has one or more digits. llguidance writes these.
# What happens: outlines-core makes the zone optional, cannot write an offset, wants exactly three digits of a fraction,
#   and lets a year have a sign and more digits than four. What it writes without a zone fails where the format is
#   checked, and a time elsewhere than in UTC cannot be written at all.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check outlines-core==0.2.14 llguidance==1.9.1
"$work/venv/bin/python" - <<'PYTHON'
import json
import re

from llguidance import LLMatcher, LLTokenizer
from outlines_core.json_schema import build_regex_from_schema

schema = json.dumps({"type": "string", "format": "date-time"})
expression, bytewise = re.compile(build_regex_from_schema(schema)), LLTokenizer("byte")


def llguidance_accepts(text: str) -> bool:
    matcher = LLMatcher(bytewise, LLMatcher.grammar_from_json_schema(schema), log_level=0)
    return matcher.consume_tokens(list(text.encode())) and matcher.is_accepting()


valid = ["2026-11-29T10:00:00Z", "2026-11-29T10:00:00+05:30", "2026-11-29T10:00:00.5Z"]
invalid = ["2026-11-29T10:00:00", "-112026-11-29T10:00:00Z"]
verdicts = []
for time in valid + invalid:
    text = json.dumps(time)
    verdicts.append((expression.fullmatch(text) is not None, llguidance_accepts(text)))
    print(f"{time}: outlines-core {verdicts[-1][0]}, llguidance {verdicts[-1][1]}")
raise SystemExit(verdicts != [(True, True), (False, True), (False, True), (True, False), (True, False)])
PYTHON
