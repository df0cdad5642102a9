"""A generation worker without a model: speaks the worker's protocol, and breaks as its `--model` folder is named.

The folder's name is one of: steady, refuses, dies-loading, dies-once, dies-always, silent, babbles. Run as a script.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from services.lm import worker_protocol as protocol


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--adapter", type=Path)
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--threads", type=int, default=3)
    arguments = parser.parse_args()
    (arguments.model / f"started-{os.getpid()}").touch()
    if arguments.model.name == "refuses":
        say(protocol.Failed(0, "invalid_argument", "The adapter does not fit.", "Use its own base."))
        return
    if arguments.model.name == "dies-loading":
        sys.exit(3)
    say(ready(arguments.dtype, arguments.threads, arguments.adapter))
    for line in sys.stdin.buffer:
        request = protocol.decode_request(line)
        if isinstance(request, protocol.Generate):
            answer(request, arguments.model)


def ready(dtype: str, threads: int, adapter: Path | None) -> protocol.Ready:
    return protocol.Ready(
        dtype=dtype,
        threads=threads,
        model_digest="sha256:model",
        adapter_digest="",
        chat_template_digest="template",
        max_positions=4096,
        library_versions={"adapter": adapter.name if adapter else ""},
        load_seconds=0.1,
    )


def answer(request: protocol.Generate, folder: Path) -> None:
    half = len(request.prompts) // 2
    for place, prompt in enumerate(request.prompts):
        if place == half:
            break_as_named(folder)
        text = f"{prompt.messages[-1]['content']} with seed {prompt.seed}"
        say(protocol.Answer(request.id, prompt.key, text, (1, 2), "stop", 10, 8, 0.1, 0.2))
        say(protocol.Progress(request.id, 2 * place, 1, 0))
    say(protocol.Done(request.id, 2 * len(request.prompts), 0.1))


def break_as_named(folder: Path) -> None:
    if folder.name == "dies-always" or (folder.name == "dies-once" and len(list(folder.iterdir())) == 1):
        os.kill(os.getpid(), signal.SIGKILL)
    if folder.name == "silent":
        time.sleep(600)
    if folder.name == "babbles":
        print("hello", flush=True)


def say(event: protocol.Event) -> None:
    sys.stdout.buffer.write(protocol.encode(event))
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
