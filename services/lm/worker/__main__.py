"""`python -m services.lm.worker`: loads the model, says so, and answers requests until standard input ends."""

from __future__ import annotations

import argparse
import gc
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from services.lm import worker_protocol as protocol
from services.lm.errors import LmError
from services.lm.folders import check_model_folder

if TYPE_CHECKING:
    from services.lm.worker.answering import Worker

_LIBRARIES: Final = ("torch", "transformers", "tokenizers", "peft", "safetensors")
_OFFLINE: Final = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


def main() -> None:
    """Load the model, say so, and answer requests until standard input ends."""
    parser = argparse.ArgumentParser(prog="python -m services.lm.worker", description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="model folder")
    parser.add_argument("--adapter", type=Path, help="LoRA adapter folder, merged into the weights")
    parser.add_argument("--dtype", choices=("auto", "float32", "bfloat16"), default="auto")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto: a GPU if there is one")
    parser.add_argument("--threads", type=int, help="compute threads; default: one per usable core")
    arguments = parser.parse_args()
    send = _claim_output()
    os.environ.update(_OFFLINE)
    requests = _Requests(sys.stdin.buffer, send)
    try:
        worker = _start(arguments, send)
    except LmError as error:
        send(protocol.Failed(0, "invalid_argument", error.located_problem, error.next_step))
        os._exit(2)
    while True:
        request = requests.next()
        worker.answer(request, lambda request_id=request.id: requests.is_cancelled(request_id))  # type: ignore[misc]


def _start(arguments: argparse.Namespace, send: Callable[[protocol.Event], None]) -> Worker:
    check_model_folder(arguments.model)
    # What is imported stays: to look through it for garbage, again and again, takes a tenth of the start.
    gc.disable()
    # Imported here, so that standard input is watched while torch and transformers take their seconds.
    from services.lm.generation.engine import Engine
    from services.lm.loading import load, prepare_process
    from services.lm.worker.answering import Worker

    gc.freeze()
    gc.enable()
    start = time.monotonic()
    threads = prepare_process(arguments.threads)
    loaded = load(arguments.model, dtype=arguments.dtype, adapter=arguments.adapter, device=arguments.device)
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
            device=loaded.device,
        )
    )
    return worker


class _Requests:
    """Requests from standard input, read by a thread of their own; the process exits when the input ends."""

    def __init__(self, stream: BinaryIO, send: Callable[[protocol.Event], None]) -> None:
        self._stream, self._send = stream, send
        self._queue: queue.Queue[protocol.Generate | protocol.Preview] = queue.Queue()
        self._cancelled: set[int] = set()
        threading.Thread(target=self._read, name="stdin", daemon=True).start()

    def next(self) -> protocol.Generate | protocol.Preview:
        """The next request, waiting for it."""
        return self._queue.get()

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
            self._queue.put(request)


def _claim_output() -> Callable[[protocol.Event], None]:
    """A function that writes events to standard output; everything else that is printed goes to standard error."""
    stream = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    lock = threading.Lock()

    def send(event: protocol.Event) -> None:
        with lock:
            stream.write(protocol.encode(event))

    return send


if __name__ == "__main__":
    main()
