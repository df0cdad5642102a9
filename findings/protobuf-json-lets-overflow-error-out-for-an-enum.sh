#!/bin/sh
# protobuf 7.36.2 (PyPI), google.protobuf.json_format.
# Expected: JSON that does not fit a message is a ParseError (documentation of json_format). The number 1e999 is JSON,
#   of which Python's reader makes infinity. For a field of type int32 ParseDict raises ParseError.
# Happens: for a field of an enum's type ParseDict lets the OverflowError of Python's int() out, which is no ParseError
#   and no ValueError, so that a server that answers a ParseError with "bad request" answers with an error of its own.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet protobuf==7.36.2
"$folder/venv/bin/python" - <<'PYTHON'
import json
import sys

from google.protobuf import json_format, type_pb2


def error_of(text: str) -> str:
    """Return the name of the error that reading a field of a message meets."""
    try:
        json_format.ParseDict(json.loads(text), type_pb2.Field())
    except Exception as error:
        return type(error).__name__
    return "none"


integer, enum = error_of('{"number": 1e999}'), error_of('{"kind": 1e999}')
print(f"an infinite number for an int32: {integer}; for an enum: {enum}")
sys.exit(0 if (integer, enum) == ("ParseError", "OverflowError") else 1)
PYTHON
