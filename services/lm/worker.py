"""A generation worker: one model, JSON lines on standard input and output (see `worker_protocol`).

It ends as soon as its standard input does, at any moment, so that a killed parent leaves no orphan. Whatever a library
prints goes to standard error.
"""

from __future__ import annotations

import argparse
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, BinaryIO, Final

from services.lm import worker_protocol as protocol
from services.lm.errors import LimitExceeded, LmError

if TYPE_CHECKING:
    from services.lm.generation.engine import Engine
    from services.lm.generation.requests import GenerationRequest
    from services.lm.loading import LoadedModel

_LIBRARIES: Final = ("torch", "transformers", "tokenizers", "peft", "safetensors")
_PROGRESS_SECONDS: Final = 1.0
# A hostile chat template can loop; an honest one takes milliseconds.
_RENDERING_SECONDS: Final = 20.0
_OFFLINE: Final = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


class Lines:
    """Requests from standard input, read by a thread of their own; the process exits when the input ends."""

    def __init__(self, stream: BinaryIO, send: Callable[[protocol.Event], None]) -> None:
        """Start reading."""
        self._stream, self._send = stream, send
        self._requests: queue.Queue[protocol.Generate | protocol.Preview] = queue.Queue()
        self._cancelled: set[int] = set()
        threading.Thread(target=self._read, name="stdin", daemon=True).start()

    def next(self) -> protocol.Generate | protocol.Preview:
        """The next request, waiting for it."""
        return self._requests.get()

    def is_cancelled(self, request_id: int) -> bool:
        """Whether a `Cancel` for this request has come."""
        return request_id in self._cancelled

    def _read(self) -> None:
        while line := self._stream.readline(protocol.MAX_LINE_BYTES + 1):
            if len(line) > protocol.MAX_LINE_BYTES:
                self._send(
                    protocol.Failed(0, "invalid_argument", "The line is too long.", "Send fewer prompts at once.")
                )
                break
            self._take(line)
        os._exit(0)

    def _take(self, line: bytes) -> None:
        try:
            request = protocol.decode_request(line)
        except LmError as error:
            self._send(protocol.Failed(0, "invalid_argument", error.problem, error.next_step))
            return
        if isinstance(request, protocol.Cancel):
            self._cancelled.add(request.id)
        else:
            self._requests.put(request)


class Worker:
    """Answers requests with one loaded model."""

    def __init__(self, loaded: LoadedModel, engine: Engine, send: Callable[[protocol.Event], None]) -> None:
        """`send` writes one event."""
        self._loaded, self._engine, self._send = loaded, engine, send

    def answer(self, request: protocol.Generate | protocol.Preview, is_cancelled: Callable[[], bool]) -> None:
        """Send what the request asks for, or one `Failed`."""
        try:
            if isinstance(request, protocol.Preview):
                self._preview(request)
            else:
                self._generate(request, is_cancelled)
        except LimitExceeded as error:
            self._send(protocol.Failed(request.id, "resource_exhausted", error.problem, error.next_step))
        except LmError as error:
            problem = f"{error.place}: {error.problem}" if error.place else error.problem
            self._send(protocol.Failed(request.id, "invalid_argument", problem, error.next_step))
        except MemoryError:
            self._send(_out_of_memory(request.id))
        except Exception as error:
            # The process boundary: the parent must hear of it, and the next request may well succeed.
            if "memory" in str(error).lower():
                self._send(_out_of_memory(request.id))
                return
            problem = f"The computation failed ({type(error).__name__}: {error})."
            self._send(protocol.Failed(request.id, "internal", problem, "Try again; report it if it stays."))

    def _preview(self, request: protocol.Preview) -> None:
        from services.lm.chat import encode_prompt, render

        with _time_limit(_RENDERING_SECONDS):
            text = render(self._loaded.tokenizer, request.messages)
            ids = encode_prompt(self._loaded.tokenizer, request.messages)
        self._send(protocol.Previewed(request.id, text, tuple(ids)))

    def _generate(self, request: protocol.Generate, is_cancelled: Callable[[], bool]) -> None:
        start = last = time.monotonic()
        tokens = 0

        def on_step(written: int, active: int, waiting: int) -> bool:
            nonlocal last, tokens
            tokens = written
            if time.monotonic() - last >= _PROGRESS_SECONDS:
                last = time.monotonic()
                self._send(protocol.Progress(request.id, written, active, waiting))
            return not is_cancelled()

        requests = [self._encoded(prompt) for prompt in request.prompts]
        self._send(protocol.Progress(request.id, 0, 0, len(requests)))
        results = self._engine.generate(requests, request.sampling, max_batch=request.max_batch, on_step=on_step)
        for result in results:
            self._send(protocol.Answer(id=request.id, **asdict(result)))
        self._send(protocol.Done(request.id, tokens, time.monotonic() - start, is_cancelled()))

    def _encoded(self, prompt: protocol.Prompt) -> GenerationRequest:
        from services.lm.chat import encode_prompt
        from services.lm.generation.requests import GenerationRequest

        try:
            with _time_limit(_RENDERING_SECONDS):
                ids = encode_prompt(self._loaded.tokenizer, prompt.messages)
        except LmError as error:
            raise type(error)(error.problem, error.next_step, f"prompt {prompt.key!r}") from error
        return GenerationRequest(prompt.key, ids, prompt.max_new_tokens, prompt.seed)


def main() -> None:
    """Load the model, say so, and answer requests until standard input ends."""
    arguments = _arguments()
    send = _claim_output()
    os.environ.update(_OFFLINE)
    lines = Lines(sys.stdin.buffer, send)
    try:
        worker = _start(arguments, send)
    except LmError as error:
        problem = f"{error.place}: {error.problem}" if error.place else error.problem
        send(protocol.Failed(0, "invalid_argument", problem, error.next_step))
        os._exit(2)
    while True:
        request = lines.next()
        worker.answer(request, lambda request_id=request.id: lines.is_cancelled(request_id))  # type: ignore[misc]


def _start(arguments: argparse.Namespace, send: Callable[[protocol.Event], None]) -> Worker:
    from services.lm.generation.engine import Engine
    from services.lm.loading import load, prepare_process

    start = time.monotonic()
    threads = prepare_process(arguments.threads)
    loaded = load(arguments.model, dtype=arguments.dtype, adapter=arguments.adapter)
    worker = Worker(loaded, Engine(loaded), send)
    send(
        protocol.Ready(
            dtype=loaded.dtype,
            threads=threads,
            model_digest=loaded.digest,
            adapter_digest=loaded.adapter_digest,
            chat_template_digest=loaded.chat_template_digest,
            max_positions=loaded.max_positions,
            library_versions={name: version(name) for name in _LIBRARIES},
            load_seconds=time.monotonic() - start,
        )
    )
    return worker


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m services.lm.worker", description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="model folder")
    parser.add_argument("--adapter", type=Path, help="LoRA adapter folder, merged into the weights")
    parser.add_argument("--dtype", choices=("auto", "float32", "bfloat16"), default="auto")
    parser.add_argument("--threads", type=int, help="compute threads; default: one per usable core")
    return parser.parse_args()


def _claim_output() -> Callable[[protocol.Event], None]:
    """A function that writes events to standard output; everything else that is printed goes to standard error."""
    stream = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    lock = threading.Lock()

    def send(event: protocol.Event) -> None:
        with lock:
            stream.write(protocol.encode(event))

    return send


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    def stop(_: int, __: FrameType | None) -> None:
        raise LimitExceeded(f"The chat template takes longer than {seconds:.0f} s.", "Choose a model with another one.")

    previous = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def _out_of_memory(request_id: int) -> protocol.Failed:
    return protocol.Failed(request_id, "resource_exhausted", "There is not enough memory.", "Use a smaller max_batch.")


if __name__ == "__main__":
    main()
