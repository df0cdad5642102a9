#!/bin/sh
# Package: outlines-core 0.2.14 (PyPI), `build_regex_from_schema`.
# Expected: a property without a schema of its own, {}, may have any value (JSON Schema core, 4.3.2), and the object
#   around it stays an object: the expression matches {"data": 1, "count": 2}.
# What happens: the alternatives of "any value" stand in the object's expression without parentheses, so that they are
#   alternatives of the whole. No valid object is matched; {"data": true (cut off there), null, 1 and "text" are.
# An argument of type Any is enough for a model that is held to its schema to be unable to write a valid call.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check outlines-core==0.2.14
"$work/venv/bin/python" - <<'PYTHON'
import json
import re

from outlines_core.json_schema import build_regex_from_schema

schema = {
    "type": "object",
    "properties": {"data": {}, "count": {"type": "integer"}},
    "required": ["data", "count"],
}
expression = re.compile(build_regex_from_schema(json.dumps(schema)))
texts = ['{"data": 1, "count": 2}', '{"data": true, "count": 2}', '{"data": true', "null", "1", '"text"']
matches = [expression.fullmatch(text) is not None for text in texts]
print(dict(zip(texts, matches)))
raise SystemExit(matches != [False, False, True, True, True, True])
PYTHON
