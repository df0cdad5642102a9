#!/bin/sh
# Package: xgrammar 0.2.9 (PyPI) with torch 2.13.0 and transformers 5.23.0, grammars from a JSON schema.
# Expected: `minLength` and `maxLength` limit how long a string is, no more: a text with a line end or a quote (written
#   as \n and \" in JSON) is as good as another, and a control character must be escaped (RFC 8259).
# What happens: as soon as a string has one of the two, even `minLength: 1`, no escape can be written in it, while a
#   bare tab is let through, which RFC 8259 forbids. Without a limit it is the other way round, as it should be.
# Who demands that a shell command or a file's content is not empty gets a model that cannot write quotes or lines.
# Known as mlc-ai/xgrammar#800, open.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 transformers==5.23.0 numpy pydantic
"$work/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps xgrammar==0.2.9 apache-tvm-ffi==0.1.15.post2
"$work/venv/bin/python" - <<'PYTHON'
import json

import xgrammar

tokens = [bytes([byte]) for byte in range(256)] + [b"<end>"]
compiler = xgrammar.GrammarCompiler(xgrammar.TokenizerInfo(tokens, stop_token_ids=[256]))


def accepts(schema: dict[str, object], text: str) -> bool:
    compiled = compiler.compile_json_schema(json.dumps(schema))
    matcher = xgrammar.GrammarMatcher(compiled, terminate_without_stop_token=True)
    return matcher.accept_string(text) and matcher.is_terminated()


texts = ['"plain"', r'"two\nlines"', r'"a \"quote\""', '"bare\ttab"']
verdicts = []
for schema in ({"type": "string"}, {"type": "string", "minLength": 1}, {"type": "string", "maxLength": 100}):
    verdicts.append([accepts(schema, text) for text in texts])
    print(json.dumps(schema), dict(zip(texts, verdicts[-1])))
raise SystemExit(verdicts != [[True, True, True, False], [True, False, False, True], [True, False, False, True]])
PYTHON
