import subprocess
import sys

import pytest

from services.lm import worker_protocol as protocol

MESSAGES = ({"role": "user", "content": "é\n"},)
TOOLS = ({"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}},)
PROMPT = b'"key":"a","messages":[{}],"max_new_tokens":1'


@pytest.mark.parametrize(
    "request_",
    [
        protocol.Generate(1, (protocol.Prompt("a", MESSAGES, 5, 3),), protocol.Sampling(0.5, 0.9, 4), 8),
        protocol.Generate(
            -1,
            (
                protocol.Prompt("a", MESSAGES, 5, -3, TOOLS, stop=("\n", "é"), conversation="talk"),
                protocol.Prompt("b", (), 0, text="raw\U0001f600"),
            ),
            protocol.Sampling(min_p=0.1),
            log_probs=True,
            num_top_log_probs=5,
            echo=True,
            stream=True,
        ),
        protocol.Preview(2, MESSAGES),
        protocol.Preview(2, MESSAGES, TOOLS),
        protocol.Preview(2, (), text="raw"),
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
        protocol.Answer(
            1,
            "a",
            "text",
            (1,),
            "length",
            3,
            2,
            0.1,
            0.2,
            log_probs=(-0.5,),
            tokens=("te",),
            top_log_probs=((("te", -0.5), ("x", -1.0)),),
            queue_seconds=0.5,
            prompt_log_probs=(None, -1.0, -2.0),
            prompt_token_ids=(7, 8, 9),
            prompt_tokens_text=("a", "b", "c"),
            prompt_top_log_probs=((), (("b", -1.0),), (("d", -0.1),)),
        ),
        protocol.Delta(1, "a", "t", (1,), (-0.5,), ("t",), ((("t", -0.5),),)),
        protocol.Progress(1, 2, 3, 4),
        protocol.Done(1, 2, 0.5),
        protocol.Previewed(2, "text", (1,), ("text",)),
        protocol.Failed(0, "internal", "p", "n"),
    ],
)
def test_an_event_survives_the_line(event: protocol.Event) -> None:
    assert protocol.decode_event(protocol.encode(event)) == event


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"nonsense", "Invalid JSON"),
        (b"[1]", "should be an object"),
        (b'{"op":"generate"}', r"generate\.id"),
        (b'{"id":1,"op":"dance"}', "any of the expected tags"),
        (b'{"id":1,"op":"generate","prompts":[]}', "prompts.*at least 1"),
        (b'{"id":1,"op":"generate","prompts":[{"key":"a","messages":[{}],"max_new_tokens":0}]}', "max_new_tokens of 0"),
        (
            b'{"id":1,"op":"generate","prompts":[{"key":"a","messages":[],"max_new_tokens":1}]}',
            "exactly one of messages",
        ),
        (b'{"id":1,"op":"generate","prompts":[{"messages":[{}],"max_new_tokens":1}]}', r"key: Field required"),
        (
            b'{"id":1,"op":"generate","prompts":[{"key":"a","messages":[{}],"max_new_tokens":1}],"sampling":{"top_p":0}}',
            "top_p.*greater than 0",
        ),
        (
            b'{"id":1,"op":"generate","prompts":[{"key":"a","messages":[{}],"max_new_tokens":1},'
            b'{"key":"a","messages":[{}],"max_new_tokens":1}]}',
            "two prompts of one key",
        ),
        (b"[" * 100_000, "recursion limit"),
    ],
)
def test_a_line_that_is_no_request_is_refused(line: bytes, problem: str) -> None:
    with pytest.raises(protocol.InvalidLine, match=problem):
        protocol.decode_request(line)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        (b'"seed":true', "seed"),
        (b'"seed":1e999', "seed"),
        (b'"seed":' + b"9" * 100, "seed"),
        (b'"seed":' + b"9" * 9999, "number out of range"),
        (b'"tools":{}', "tools"),
        (b'"tools":[1]', "tools"),
        (b'"tools":[' + b",".join([b"{}"] * 2000) + b"]", "tools.*at most 1024"),
        (b'"text":5', "text"),
        (b'"text":"both"', "exactly one"),
        (b'"stop":"text"', "stop"),
        (b'"stop":[""]', "stop.0.*at least 1"),
        (b'"stop":["' + b"x" * 2000 + b'"]', "stop.0.*at most 1024"),
        (b'"stop":' + b"[" + b",".join([b'"x"'] * 17) + b"]", "at most 16"),
        (b'"conversation":7', "conversation"),
        (b'"conversation":"' + b"x" * 2000 + b'"', "conversation"),
        (b'"max_new_tokens":true', "max_new_tokens.*integer"),
        (b'"max_new_tokens":"5"', "max_new_tokens.*integer"),
        (b'"key":"\\ud800"', "end of hex escape"),
    ],
)
def test_a_value_of_a_prompt_that_makes_no_sense_is_refused(fields: bytes, problem: str) -> None:
    with pytest.raises(protocol.InvalidLine, match=problem):
        protocol.decode_request(b'{"id":1,"op":"generate","prompts":[{' + PROMPT + b"," + fields + b"}]}")


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        (b'"log_probs":1', "log_probs"),
        (b'"echo":"yes"', "echo"),
        (b'"stream":null', "stream"),
        (b'"num_top_log_probs":21', "num_top_log_probs.*less than or equal to 20"),
        (b'"num_top_log_probs":true', "num_top_log_probs.*integer"),
        (b'"max_batch":-1', "max_batch"),
        (b'"sampling":[1]', "sampling.*object"),
        (b'"sampling":{"temperature":NaN}', "temperature.*(less|greater) than or equal"),
        (b'"sampling":{"temperature":Infinity}', "temperature.*less than or equal to 10"),
        (b'"sampling":{"min_p":1.5}', "min_p.*less than or equal to 1"),
        (b'"sampling":{"min_p":true}', "min_p.*number"),
        (b'"sampling":{"top_k":2.5}', "top_k.*integer"),
        (b'"sampling":{"heat":1}', "sampling.heat"),
        (b'"id":"1"', "id.*integer"),
        (b'"id":' + b"9" * 30, "id.*less than"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(fields: bytes, problem: str) -> None:
    with pytest.raises(protocol.InvalidLine, match=problem):
        protocol.decode_request(b'{"id":1,"op":"generate","prompts":[{' + PROMPT + b"}]," + fields + b"}")


def test_a_raw_text_has_no_tools() -> None:
    with pytest.raises(protocol.InvalidLine, match="nothing renders"):
        protocol.decode_request(b'{"id":1,"op":"preview","text":"raw","tools":[{}]}')


def test_half_a_character_is_refused_before_it_is_sent() -> None:
    with pytest.raises(protocol.InvalidLine, match="half of a character"):
        protocol.encode(protocol.Preview(1, (), text="\ud800"))


def test_the_protocol_imports_no_heavy_library() -> None:
    heavy = "('torch', 'transformers', 'numpy')"
    code = f"import sys, services.lm.worker_protocol; print([name for name in sys.modules if name in {heavy}])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout.strip() == b"[]"
