"""A generation worker without a model: speaks the worker's protocol, and breaks as its `--model` folder is named.

The folder's name is one of: steady, refuses, dies-loading, dies-once, dies-always, silent, babbles, or stops, which it
does when it is told to. Run as a script.
"""

import argparse
import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from services.lm import worker_protocol as protocol


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--adapter", type=Path)
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=3)
    arguments = parser.parse_args()
    (arguments.model / f"started-{os.getpid()}").touch()
    if arguments.model.name == "refuses":
        say(protocol.Failed(0, "invalid_argument", "The adapter does not fit.", "Use its own base."))
        return
    if arguments.model.name == "dies-loading":
        sys.exit(3)
    device = "cpu" if arguments.device == "auto" else arguments.device
    say(ready(arguments.dtype, arguments.threads, arguments.adapter, device))
    for line in sys.stdin.buffer:
        request = protocol.decode_request(line)
        if isinstance(request, protocol.Generate):
            answer(request, arguments.model)
        elif isinstance(request, protocol.Cancel):
            say(protocol.Done(request.id, 1, 0.1, cancelled=True))
        elif isinstance(request, protocol.Preview):
            show(request)


def ready(dtype: str, threads: int, adapter: Path | None, device: str) -> protocol.Ready:
    return protocol.Ready(
        dtype=dtype,
        threads=threads,
        model_digest="sha256:model",
        adapter_digest="",
        chat_template_digest="template",
        max_positions=4096,
        library_versions={"adapter": adapter.name if adapter else ""},
        load_seconds=0.1,
        device=device,
    )


def answer(request: protocol.Generate, folder: Path) -> None:
    half = len(request.prompts) // 2
    if folder.name == "stops":
        say(protocol.Delta(request.id, request.prompts[0].key, "one ", (1,)))
        return
    for place, prompt in enumerate(request.prompts):
        if place == half:
            break_as_named(folder)
        asked = prompt.text or prompt.messages[-1]["content"]
        if request.stream:
            for piece, token in (("one ", 1), ("two", 2)):
                say(protocol.Delta(request.id, prompt.key, piece, (token,), *log_probs(request, [piece])))
        text = "one two" if request.stream else f"{asked} with seed {prompt.seed}"
        told = protocol.Answer(request.id, prompt.key, text, (1, 2), "stop", 10, 8, 0.1, 0.2, queue_seconds=0.05)
        say(scored(request, told))
        say(protocol.Progress(request.id, 2 * place, 1, 0))
    say(protocol.Done(request.id, 2 * len(request.prompts), 0.1))


def log_probs(request: protocol.Generate, pieces: list[str]) -> tuple[Any, ...]:
    if not request.log_probs:
        return ()
    return (-0.5,) * len(pieces), tuple(pieces), ((("x", -0.5),),) * len(pieces) if request.num_top_log_probs else ()


def scored(request: protocol.Generate, told: protocol.Answer) -> protocol.Answer:
    if request.log_probs:
        values, tokens, top = log_probs(request, ["one ", "two"])
        told = replace(told, log_probs=values, tokens=tokens, top_log_probs=top)
    if not request.echo:
        return told
    return replace(
        told,
        prompt_log_probs=(None, -2.0),
        prompt_token_ids=(7, 8),
        prompt_tokens_text=("a", "b"),
        prompt_top_log_probs=((), (("b", -2.0),)),
    )


def show(request: protocol.Preview) -> None:
    said = [
        *(message["content"] for message in request.messages),
        *(tool["function"]["name"] for tool in request.tools),
    ]
    if "refuse" in said:
        say(protocol.Failed(request.id, "invalid_argument", "The template refuses this.", "Send another."))
        return
    say(protocol.Previewed(request.id, "|".join(said), (1, 2), ("a", "b")))


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
