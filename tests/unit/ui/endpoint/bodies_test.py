"""Long JSON bodies are read as the standard library reads them, and the event loop goes on meanwhile."""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time

import pytest
from drillyard.evaluator.v1 import verdict_pb2
from fastapi import FastAPI
from starlette.testclient import TestClient
from starlette.types import Message

from tests.unit.loop_turns import stays_free
from ui.gateway.errors import install_error_responses
from ui.gateway.middleware.bodies import MAX_VALUES, JsonRequest, read_long
from ui.shared.rpc import RpcRouter

_LETTERS = ('"', "\\", "\n", "a", "é", "😀", "\ud83d", "\ude00", "/", "\x7f", "\u2028")


def _outcome(read: object, body: bytes) -> object:
    try:
        return read(body)  # type: ignore[operator]
    except ValueError as error:
        return type(error)


@pytest.mark.parametrize("seed", range(20))
def test_what_is_read_in_parts_is_what_the_standard_library_reads(seed: int) -> None:
    chance = random.Random(seed)
    text = "".join(chance.choices(_LETTERS, k=600)) + "a" * 70_000
    for is_ascii in (True, False):
        body = json.dumps({text: [text, {"number": 1.5, "flag": None}, []]}, ensure_ascii=is_ascii)
        assert read_long(body.encode("utf-8", "surrogatepass")) == json.loads(body)
    damaged = bytearray(body.encode("utf-8", "surrogatepass"))
    damaged[chance.randrange(len(damaged))] = chance.choice(b'"\\u{}[]\x00 a')
    assert _outcome(read_long, bytes(damaged)) == _outcome(json.loads, bytes(damaged))


def test_the_loop_goes_on_while_a_long_body_is_read() -> None:
    answers = ['A line with a "quote".\n' * 2800] * 240
    body = json.dumps(answers).encode()

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def longest_hold() -> float:
        request = JsonRequest({"type": "http", "headers": []}, receive)
        reading = asyncio.create_task(request.json())
        longest, before = 0.0, 0.0
        while not reading.done():
            await asyncio.sleep(0)
            # The processor time that the reader had since the loop's last turn: it held the interpreter for as long.
            for thread in threading.enumerate():
                if thread.name.startswith("asyncio_") and thread.ident:
                    now = time.clock_gettime(time.pthread_getcpuclockid(thread.ident))
                    longest, before = max(longest, now - before), now
        assert reading.result() == answers
        return longest

    assert stays_free(lambda: asyncio.run(longest_hold()))


def test_a_body_of_too_many_values_and_a_broken_one_are_refused() -> None:
    router = RpcRouter(tags=["judging"])
    router.rpc("POST /judgements", "evaluator.JudgeBatch", "Judges.", action=_answer)
    app = FastAPI()
    app.state.clients = None
    install_error_responses(app)
    app.include_router(router)
    client = TestClient(app)
    flood = client.post("/judgements", json={"requests": [100] * (MAX_VALUES + 1)})
    assert flood.status_code == 413 and f"more than {MAX_VALUES} values" in flood.json()["problem"]
    broken = client.post("/judgements", content=b"[" + b" " * 300_000, headers={"content-type": "application/json"})
    assert broken.status_code == 400 and broken.json()["code"] == "INVALID_ARGUMENT"
    first = client.post("/judgements", json={"requests": [100] * (MAX_VALUES - 10)})
    assert first.status_code == 400 and first.json()["problem"].count("requests") == 1
    answers = [{"profile_id": "roo_xml", "case_document": "{}", "answer": "text" * 100}] * 1000
    assert client.post("/judgements", json={"requests": answers}).status_code == 200


async def _answer(_clients: object, request: verdict_pb2.JudgeBatchRequest) -> verdict_pb2.JudgeBatchResponse:
    assert len(request.requests) == 1000
    return verdict_pb2.JudgeBatchResponse()
