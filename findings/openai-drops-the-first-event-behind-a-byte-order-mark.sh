#!/bin/sh
# openai 3.54.0 (PyPI), its decoder of server-sent events.
# Expected: a stream that begins with a UTF-8 byte order mark is read like one without, as the standard of server-sent
#   events says ("One leading U+FEFF BYTE ORDER MARK character must be ignored if any are present").
# Happens: the mark becomes part of the first field's name, so that the first event is dropped without a word; an answer
#   that came in two pieces is the second one alone.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet openai==3.54.0
"$folder/venv/bin/python" - <<'PYTHON'
import json
import sys

import httpx2
import openai


def answer_to(mark: str) -> str:
    """Return what the client reads of two pieces, with this before them."""
    pieces = [{"choices": [{"index": 0, "delta": {"content": text}}]} for text in ("Hello", " world")]
    events = mark + "".join(f"data: {json.dumps(piece)}\n\n" for piece in pieces) + "data: [DONE]\n\n"
    served = httpx2.MockTransport(
        lambda _: httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=events.encode())
    )
    client = openai.OpenAI(api_key="none", base_url="http://server.test/v1", http_client=httpx2.Client(transport=served))
    messages = [{"role": "user", "content": "Hi"}]
    stream = client.chat.completions.create(model="m", messages=messages, stream=True)
    return "".join(chunk.choices[0].delta.content or "" for chunk in stream)


plain, marked = answer_to(""), answer_to("\ufeff")
print(f"without a mark: {plain!r}; behind a mark: {marked!r}")
sys.exit(0 if (plain, marked) == ("Hello world", " world") else 1)
PYTHON
