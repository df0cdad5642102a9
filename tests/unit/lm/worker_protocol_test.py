import subprocess
import sys

import pytest

from services.lm import worker_protocol as protocol

MESSAGES = ({"role": "user", "content": "é\n"},)


@pytest.mark.parametrize(
    "request_",
    [
        protocol.Generate(1, (protocol.Prompt("a", MESSAGES, 5, 3),), protocol.Sampling(0.5, 0.9, 4), 8),
        protocol.Preview(2, MESSAGES),
        protocol.Cancel(1),
    ],
)
def test_a_request_survives_the_line(request_: protocol.Request) -> None:
    line = protocol.encode(request_)
    assert line.endswith(b"\n") and line.count(b"\n") == 1
    assert protocol.decode_request(line) == request_


@pytest.mark.parametrize(
    "event",
    [
        protocol.Ready("float32", 2, "d", "", "c", 8192, {"torch": "2"}, 0.5),
        protocol.Answer(1, "a", "text\n", (1, 2), "stop", 3, 2, 0.1, 0.2),
        protocol.Progress(1, 2, 3, 4),
        protocol.Done(1, 2, 0.5),
        protocol.Previewed(2, "text", (1,)),
        protocol.Failed(0, "internal", "p", "n"),
    ],
)
def test_an_event_survives_the_line(event: protocol.Event) -> None:
    assert protocol.decode_event(protocol.encode(event)) == event


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"nonsense", "not JSON"),
        (b"[1]", "not a JSON object"),
        (b'{"op":"generate"}', "id"),
        (b'{"id":1,"op":"dance"}', "no known op"),
        (b'{"id":1,"op":"generate","prompts":[]}', "no prompts"),
        (b'{"id":1,"op":"generate","prompts":[{"key":"a","messages":[{}],"max_new_tokens":0}]}', "asks for 0"),
        (b'{"id":1,"op":"generate","prompts":[{"key":"a","messages":[],"max_new_tokens":1}]}', "messages"),
        (b'{"id":1,"op":"generate","prompts":[{"messages":[{}],"max_new_tokens":1}]}', "without a key"),
        (
            b'{"id":1,"op":"generate","prompts":[{"key":"a","messages":[{}],"max_new_tokens":1}],"sampling":{"top_p":0}}',
            "out of range",
        ),
        (
            b'{"id":1,"op":"generate","prompts":[{"key":"a","messages":[{}],"max_new_tokens":1},'
            b'{"key":"a","messages":[{}],"max_new_tokens":1}]}',
            "two prompts of one key",
        ),
        (b"[" * 100_000, "not JSON"),
    ],
)
def test_a_line_that_is_no_request_is_refused(line: bytes, problem: str) -> None:
    with pytest.raises(protocol.InvalidLine, match=problem):
        protocol.decode_request(line)


def test_the_protocol_imports_no_heavy_library() -> None:
    heavy = "('torch', 'transformers', 'numpy')"
    code = f"import sys, services.lm.worker_protocol; print([name for name in sys.modules if name in {heavy}])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout.strip() == b"[]"
