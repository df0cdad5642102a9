"""`python -m services.lm.conversion COMMAND`: models in and out, told in JSON lines, the last one the result."""

import argparse
import json
import os
import re
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, Final, NoReturn

from services.lm.errors import LimitExceeded, LmError

_PROGRESS_SECONDS: Final = 0.5
_EXIT_REFUSED: Final = 2
_NUMBER_TYPE: Final = "--number-type"
_LICENCE: Final = "--licence"
_TEXTS: Final = {
    _NUMBER_TYPE: "how numbers are stored, such as BF16 or Q4_K_M",
    _LICENCE: "what the file says of the licence of its base",
}
_NO_MEMORY: Final = re.compile(r"allocate memory|out of memory|start new thread")
_SMALLER: Final = "Choose a smaller file or allow more memory."


def main() -> None:
    """Run one command; exits with 0, or with 2 after a refusal that names problem, next step and place."""
    arguments = _arguments()
    with os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1) as output:
        os.dup2(2, 1)
        _run(arguments, lambda **fields: print(json.dumps(fields, ensure_ascii=False), file=output))


def _run(arguments: argparse.Namespace, send: Callable[..., None]) -> None:
    try:
        _limit(arguments.max_memory_bytes, arguments.max_cpu_seconds)
        send(ok=True, **arguments.run(arguments, _progress(send)))
    except (MemoryError, RuntimeError) as error:
        # So say torch and the starting of threads.
        if isinstance(error, RuntimeError) and not _NO_MEMORY.search(str(error)):
            raise
        _refuse(send, LimitExceeded("It needs more memory than allowed.", _SMALLER))
    except LmError as error:
        _refuse(send, error)
    except OSError as error:
        problem = f"The file cannot be read or written ({error.strerror})."
        _refuse(send, LmError(problem, "Check path, rights and space."))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m services.lm.conversion", description=__doc__)
    limits = argparse.ArgumentParser(add_help=False)
    limits.add_argument("--max-memory-bytes", type=int, help="address space that the process may use")
    limits.add_argument("--max-cpu-seconds", type=int, help="processor time that it may use")
    commands = parser.add_subparsers(required=True)
    for name, (run, places, text) in _COMMANDS.items():
        command = commands.add_parser(name, parents=[limits], help=text)
        for place in places:
            if place in _TEXTS:
                command.add_argument(place, default="", help=_TEXTS[place])
            else:
                command.add_argument(place, type=Path)
        command.set_defaults(run=run)
    return parser.parse_args()


def _inspect(arguments: argparse.Namespace, _: Callable[[int, int], None]) -> dict[str, Any]:
    from services.lm.conversion.layout import inspect_gguf

    return inspect_gguf(arguments.file)


def _size(arguments: argparse.Namespace, _: Callable[[int, int], None]) -> dict[str, Any]:
    from services.lm.conversion.header import read_header
    from services.lm.conversion.layout import written_bytes

    return {"written_bytes": written_bytes(read_header(arguments.file).tensors)}


def _convert(arguments: argparse.Namespace, progress: Callable[[int, int], None]) -> dict[str, Any]:
    from services.lm.conversion.gguf import convert_gguf

    return convert_gguf(arguments.file, arguments.out, progress)


def _merge(arguments: argparse.Namespace, progress: Callable[[int, int], None]) -> dict[str, Any]:
    from services.lm.conversion.merge import merge_folders

    base, adapter, number_type = arguments.base, arguments.adapter, arguments.number_type.upper()
    return {"notes": []} | merge_folders(base, adapter, arguments.out, number_type=number_type, progress=progress)


def _export_gguf(arguments: argparse.Namespace, progress: Callable[[int, int], None]) -> dict[str, Any]:
    from services.lm.conversion.writing.export import export_gguf

    options = {"adapter": arguments.adapter, "licence": arguments.licence, "progress": progress}
    return export_gguf(arguments.folder, arguments.out, arguments.number_type or "Q8_0", **options)


def _export_gguf_adapter(arguments: argparse.Namespace, progress: Callable[[int, int], None]) -> dict[str, Any]:
    from services.lm.conversion.writing.export import export_gguf_adapter

    base, adapter, licence = arguments.base, arguments.adapter, arguments.licence
    return export_gguf_adapter(base, adapter, arguments.out, licence=licence, progress=progress)


_COMMANDS: Final = {
    "inspect": (_inspect, ("file",), "check a GGUF file's header"),
    "size": (_size, ("file",), "tell from a GGUF file's header, whatever comes after it, what its numbers will take"),
    "gguf": (_convert, ("file", "out"), "convert a GGUF file to a folder of safetensors"),
    "merge": (_merge, ("base", "adapter", "out", _NUMBER_TYPE), "merge a LoRA adapter into its base model"),
    "export-gguf": (_export_gguf, ("folder", "out", _NUMBER_TYPE, _LICENCE, "--adapter"), "write model.gguf"),
    "export-gguf-adapter": (_export_gguf_adapter, ("base", "adapter", "out", _LICENCE), "write a LoRA's adapter.gguf"),
}


def _progress(send: Callable[..., None]) -> Callable[[int, int], None]:
    last = 0.0

    def progress(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= _PROGRESS_SECONDS or done == total:
            last = time.monotonic()
            send(event="progress", done=done, total=total)

    return progress


def _limit(max_memory_bytes: int | None, max_cpu_seconds: int | None) -> None:
    if max_memory_bytes:
        resource.setrlimit(resource.RLIMIT_AS, (max_memory_bytes, max_memory_bytes))
    if max_cpu_seconds:
        signal.signal(signal.SIGXCPU, _out_of_time)
        # The hard limit kills a process that is stuck where Python cannot raise.
        resource.setrlimit(resource.RLIMIT_CPU, (max_cpu_seconds, max_cpu_seconds + 1))


def _out_of_time(_: int, __: FrameType | None) -> NoReturn:
    raise LimitExceeded("It takes more processor time than allowed.", "Choose another file or allow more time.")


def _refuse(send: Callable[..., None], error: LmError) -> NoReturn:
    send(ok=False, problem=error.problem, next_step=error.next_step, place=error.place)
    sys.exit(_EXIT_REFUSED)


if __name__ == "__main__":
    main()
