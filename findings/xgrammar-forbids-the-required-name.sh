#!/bin/sh
# Package: xgrammar 0.2.9 (PyPI) with torch 2.13.0 and transformers 5.23.0, grammars from a JSON schema.
# Expected: each name in `required` is in the object that is written, whether or not `properties` says more about it
#   (JSON Schema validation, "required"); or the schema is refused, as for other things that cannot be done.
# What happens: a name that only `required` has is dropped without a word. In strict mode, the default, the grammar then
#   accepts exactly the objects that lack it and none that has it; with strict_mode=False it is optional.
# What is written in strict mode is always wrong by the schema that it was written to.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 transformers==5.23.0 numpy pydantic
"$work/venv/bin/pip" install --quiet --disable-pip-version-check jsonschema==4.26.0
"$work/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps xgrammar==0.2.9 apache-tvm-ffi==0.1.15.post2
"$work/venv/bin/python" - <<'PYTHON'
import json

import jsonschema
import xgrammar

tokens = [bytes([byte]) for byte in range(256)] + [b"<end>"]
compiler = xgrammar.GrammarCompiler(xgrammar.TokenizerInfo(tokens, stop_token_ids=[256]))
schema = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path", "mode"]}


def accepts(text: str, strict: bool) -> bool:
    compiled = compiler.compile_json_schema(json.dumps(schema), strict_mode=strict)
    matcher = xgrammar.GrammarMatcher(compiled, terminate_without_stop_token=True)
    return matcher.accept_string(text) and matcher.is_terminated()


verdicts = {}
for text in ('{"path": "a"}', '{"path": "a", "mode": "r"}'):
    valid = jsonschema.Draft202012Validator(schema).is_valid(json.loads(text))
    verdicts[text] = (valid, accepts(text, True), accepts(text, False))
    print(text, "valid, strict grammar, lax grammar:", *verdicts[text])
raise SystemExit(list(verdicts.values()) != [(False, True, True), (True, False, True)])
PYTHON
