"""`python -m services.lm.worker`: loads the model, says so, and answers requests until standard input ends."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from services.lm import worker_protocol as protocol
from services.lm.errors import LmError
from services.lm.folders import check_model_folder
from services.lm.worker.lines import Lines, claim_output

if TYPE_CHECKING:
    from services.lm.worker.answering import Worker

_LIBRARIES: Final = ("torch", "transformers", "tokenizers", "peft", "safetensors")
_OFFLINE: Final = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


def main() -> None:
    """Load the model, say so, and answer requests until standard input ends."""
    arguments = _arguments()
    send = claim_output()
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
    check_model_folder(arguments.model)
    # Imported here, so that standard input is watched while torch and transformers take their seconds.
    from services.lm.generation.engine import Engine
    from services.lm.loading import load, prepare_process
    from services.lm.worker.answering import Worker

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


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m services.lm.worker", description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="model folder")
    parser.add_argument("--adapter", type=Path, help="LoRA adapter folder, merged into the weights")
    parser.add_argument("--dtype", choices=("auto", "float32", "bfloat16"), default="auto")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto: a GPU if there is one")
    parser.add_argument("--threads", type=int, help="compute threads; default: one per usable core")
    return parser.parse_args()


if __name__ == "__main__":
    main()
