#!/bin/sh
# Package: llguidance 1.9.1 (PyPI), grammars from a JSON schema.
# Expected: a schema with `const` (or `enum` of one value) lets exactly this value be written (JSON Schema validation,
#   "const"). Integers of JSON have no limit, and the schema is given as text, in which 1234567890123456789 stands.
# What happens: the number goes through a 64-bit float, and the grammar forces another one: 1234567890123456768. With
#   `minimum` and `maximum` at the value it is the same. No error, no warning; up to 2^53 all is well.
# Who offers identifiers of 64 bits (messages, users, traces) to choose from gets calls with ones that nobody has.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check llguidance==1.9.1
"$work/venv/bin/python" - <<'PYTHON'
import json

from llguidance import LLMatcher, LLTokenizer

bytewise = LLTokenizer("byte")


def forced(schema: dict[str, object]) -> str:
    """Return the text that the grammar of this schema leaves no choice about."""
    matcher = LLMatcher(bytewise, LLMatcher.grammar_from_json_schema(json.dumps(schema)))
    text = b""
    while tokens := matcher.compute_ff_tokens():
        matcher.consume_tokens(tokens)
        text += bytes(tokens)
    assert not matcher.is_error() and matcher.is_accepting(), matcher.get_error()
    return text.decode()


identifier = 1234567890123456789
texts = [
    forced({"const": identifier}),
    forced({"enum": [identifier]}),
    forced({"type": "integer", "minimum": identifier, "maximum": identifier}),
    forced({"const": 2**53}),
]
print(f"{identifier} by const, enum, bounds:", *texts[:3])
print(f"{2**53} by const:", texts[3])
raise SystemExit(texts != ["1234567890123456768"] * 3 + ["9007199254740992"])
PYTHON
