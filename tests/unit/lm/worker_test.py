"""The worker as a process: what a parent sees, also when one of the two dies."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.lm import worker_protocol as protocol
from services.lm.tiny import write_tiny_model
from tests.machine import PATIENCE_SECONDS

MESSAGES = ({"role": "user", "content": "Say something."},)


class Child:
    def __init__(self, *arguments: str | Path) -> None:
        command = [sys.executable, "-m", "services.lm.worker", *map(str, arguments)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def send(self, *requests: protocol.Request) -> None:
        self.send_raw(b"".join(protocol.encode(request) for request in requests))

    def send_raw(self, line: bytes) -> None:
        self.process.stdin.write(line)
        self.process.stdin.flush()

    def next(self) -> protocol.Event:
        return protocol.decode_event(self.process.stdout.readline())

    def until(self, kind: type) -> list[protocol.Event]:
        events = [self.next()]
        while not isinstance(events[-1], kind):
            events.append(self.next())
        return events

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(PATIENCE_SECONDS)
        self.process.stdout.close()


def prompts(count: int, max_new_tokens: int = 5) -> tuple[protocol.Prompt, ...]:
    return tuple(protocol.Prompt(str(index), MESSAGES, max_new_tokens) for index in range(count))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("worker") / "model"
    write_tiny_model(folder)
    template = folder / "chat_template.jinja"
    refusal = "{% if messages[0].content == 'no' %}{{ raise_exception('not this') }}{% endif %}"
    bomb = "{% set n = 11 %}{% if messages[0].content == 'bomb' %}{{ 'x' * 10 ** n }}{% endif %}"
    template.write_text(refusal + bomb + template.read_text())
    return folder


@pytest.fixture(scope="module")
def child(folder: Path) -> Iterator[Child]:
    child = Child("--model", folder, "--dtype", "float32", "--threads", "1")
    ready = child.next()
    assert isinstance(ready, protocol.Ready)
    assert (ready.dtype, ready.threads, ready.max_positions) == ("float32", 1, 4096)
    assert len(ready.model_digest) == len(ready.chat_template_digest) == 64
    yield child
    child.close()


def test_every_prompt_is_answered_once_and_then_it_is_done(child: Child) -> None:
    child.send(protocol.Generate(1, prompts(7)))
    *events, done = child.until(protocol.Done)
    answers = [event for event in events if isinstance(event, protocol.Answer)]
    assert sorted(answer.key for answer in answers) == [str(index) for index in range(7)]
    assert isinstance(done, protocol.Done)
    assert (done.tokens, done.cancelled) == (sum(len(answer.token_ids) for answer in answers), False)
    assert all(answer.prompt_tokens > answer.cached_tokens > 0 for answer in answers)


def test_equal_requests_have_equal_answers(child: Child) -> None:
    def ask(request_id: int) -> dict[str, str]:
        sampling = protocol.Sampling(temperature=1.0)
        child.send(protocol.Generate(request_id, prompts(3), sampling))
        return {event.key: event.text for event in child.until(protocol.Done) if isinstance(event, protocol.Answer)}

    assert ask(10) == ask(11)


def test_a_preview_shows_what_would_be_asked(child: Child) -> None:
    child.send(protocol.Preview(2, MESSAGES))
    preview = child.next()
    assert isinstance(preview, protocol.Previewed)
    assert preview.text == "<|im_start|>user\nSay something.<|im_end|>\n<|im_start|>assistant\n"
    assert len(preview.token_ids) == len("user\nSay something.\nassistant\n") + 3
    assert "".join(preview.tokens) == preview.text


def test_a_preview_of_a_text_shows_its_tokens(child: Child) -> None:
    child.send(protocol.Preview(20, (), text="raw <|im_end|>"))
    preview = child.next()
    assert isinstance(preview, protocol.Previewed)
    assert (preview.text, preview.tokens[:3], preview.tokens[-1]) == ("raw <|im_end|>", ("r", "a", "w"), "<|im_end|>")


def test_a_streamed_answer_comes_in_pieces_before_it_comes_whole(child: Child) -> None:
    child.send(protocol.Generate(21, prompts(3, 12), log_probs=True, num_top_log_probs=2, stream=True))
    *events, _ = child.until(protocol.Done)
    for answer in (event for event in events if isinstance(event, protocol.Answer)):
        deltas = [event for event in events if isinstance(event, protocol.Delta) and event.key == answer.key]
        assert "".join(delta.text for delta in deltas) == answer.text
        assert tuple(token for delta in deltas for token in delta.token_ids) == answer.token_ids
        assert tuple(value for delta in deltas for value in delta.log_probs) == answer.log_probs
        assert len(answer.tokens) == len(answer.top_log_probs) == len(answer.token_ids)
        assert all(len(top) == 2 and top[0][1] >= top[1][1] for top in answer.top_log_probs)
        assert events.index(deltas[-1]) < events.index(answer)


def test_a_raw_text_is_continued_and_its_own_tokens_are_scored(child: Child) -> None:
    child.send(protocol.Generate(22, (protocol.Prompt("raw", (), 0, text="abcd"),), echo=True, num_top_log_probs=1))
    (answer,) = (event for event in child.until(protocol.Done) if isinstance(event, protocol.Answer))
    assert answer.prompt_tokens_text == ("a", "b", "c", "d")
    assert answer.prompt_log_probs[0] is None
    assert all(value is not None and value < 0 for value in answer.prompt_log_probs[1:])
    assert [len(top) for top in answer.prompt_top_log_probs] == [0, 1, 1, 1]
    assert answer.token_ids == ()


def test_token_ids_are_continued_as_the_text_that_they_are(child: Child) -> None:
    def ask(request_id: int, prompt: protocol.Prompt) -> protocol.Answer:
        child.send(protocol.Generate(request_id, (prompt,), echo=True, log_probs=True))
        (answer,) = (event for event in child.until(protocol.Done) if isinstance(event, protocol.Answer))
        return answer

    by_text = ask(23, protocol.Prompt("raw", (), 4, text="abcd"))
    by_ids = ask(23, protocol.Prompt("raw", (), 4, token_ids=by_text.prompt_token_ids))
    assert (by_ids.token_ids, by_ids.prompt_log_probs) == (by_text.token_ids, by_text.prompt_log_probs)
    child.send(protocol.Generate(24, (protocol.Prompt("raw", (), 4, token_ids=(1 << 20,)),)))
    failed = child.next()
    assert isinstance(failed, protocol.Failed) and "no token 1048576" in failed.problem


def test_the_next_turn_of_a_conversation_finds_the_turns_before(child: Child) -> None:
    long = {"role": "user", "content": "x" * 200}
    turns = [(long,), (long, {"role": "assistant", "content": "yes"}, {"role": "user", "content": "z"})]
    found = []
    for number, messages in enumerate(turns):
        child.send(protocol.Generate(30 + number, (protocol.Prompt("a", messages, 3, conversation="talk"),)))
        found += [event for event in child.until(protocol.Done) if isinstance(event, protocol.Answer)]
    assert found[0].cached_tokens == 0
    assert 200 < found[1].cached_tokens < found[1].prompt_tokens


def test_cancelling_ends_the_request_only(child: Child) -> None:
    child.send(protocol.Generate(3, prompts(1, 4000)))
    assert isinstance(child.next(), protocol.Progress)
    child.send(protocol.Cancel(3), protocol.Preview(4, MESSAGES))
    *_, done, preview = child.until(protocol.Previewed)
    assert isinstance(done, protocol.Done) and done.cancelled
    assert done.tokens < 4000
    assert isinstance(preview, protocol.Previewed)


def test_a_line_that_is_no_request_is_answered_and_the_next_one_works(child: Child) -> None:
    child.send_raw(b"what?\n")
    failed = child.next()
    assert isinstance(failed, protocol.Failed)
    assert (failed.id, failed.code) == (0, "invalid_argument")
    child.send(protocol.Preview(5, MESSAGES))
    assert isinstance(child.next(), protocol.Previewed)


def test_messages_the_template_refuses_are_named_by_their_prompt(child: Child) -> None:
    child.send(protocol.Generate(6, (protocol.Prompt("odd", ({"role": "user"},), 5),)))
    failed = child.next()
    assert isinstance(failed, protocol.Failed)
    assert (failed.id, failed.code) == (6, "invalid_argument")
    assert "odd" in failed.problem


@pytest.mark.parametrize(("content", "reason"), [("no", "not this"), ("bomb", "more than 1024 MiB of memory")])
def test_a_prompt_that_the_template_refuses_costs_no_other(child: Child, content: str, reason: str) -> None:
    odd = protocol.Prompt("odd", ({"role": "user", "content": content},), 5)
    answers = []
    for request in (protocol.Generate(40, (*prompts(2), odd)), protocol.Generate(41, (odd,))):
        child.send(request)
        answers += [event for event in child.until(protocol.Done) if isinstance(event, protocol.Answer)]
    ends = sorted((answer.key, answer.finish_reason) for answer in answers)
    assert ends == [("0", "length"), ("1", "length"), ("odd", "template_fault"), ("odd", "template_fault")]
    assert reason in next(answer.detail for answer in answers if answer.key == "odd")


def test_a_template_that_takes_too_much_for_many_prompts_ends_the_request(child: Child) -> None:
    bombs = tuple(protocol.Prompt(str(key), ({"role": "user", "content": "bomb"},), 5) for key in range(6))
    child.send(protocol.Generate(42, bombs))
    failed = child.until(protocol.Failed)[-1]
    assert (failed.id, failed.code) == (42, "invalid_argument")
    assert "Of 4 prompts: The chat template takes more than" in failed.problem


def test_a_prompt_that_does_not_fit_says_so_in_numbers(child: Child) -> None:
    child.send(protocol.Generate(7, prompts(1, 5000)))
    answer = next(event for event in child.until(protocol.Done) if isinstance(event, protocol.Answer))
    assert answer.finish_reason == "context_overflow"
    assert "5000" in answer.detail and "4096" in answer.detail


def test_the_worker_ends_when_its_input_does_before_the_model_is_loaded(folder: Path) -> None:
    child = Child("--model", folder, "--threads", "1")
    child.close()
    assert child.process.returncode == 0


def test_a_model_that_cannot_be_loaded_is_told_and_ends_it(tmp_path: Path) -> None:
    child = Child("--model", tmp_path / "absent")
    failed = child.next()
    assert isinstance(failed, protocol.Failed)
    assert (failed.id, failed.code) == (0, "invalid_argument")
    assert "absent" in failed.problem
    assert child.process.wait(PATIENCE_SECONDS) == 2
    child.close()


# Last, since it ends the worker that the others share.
def test_the_worker_ends_when_its_input_does_though_it_is_busy(child: Child) -> None:
    child.send(protocol.Generate(50, prompts(1, 4000)))
    assert isinstance(child.next(), protocol.Progress)
    child.close()
    assert child.process.returncode == 0
