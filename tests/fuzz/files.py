"""The readers of files against files that were almost right: each refuses in its own words, and soon."""

from __future__ import annotations

import json
import random
import struct
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from io import StringIO
from itertools import islice
from pathlib import Path
from typing import Any

from services.chassis.errors import InvalidArgument
from services.feedback.store.item_lines import import_line
from services.lm.conversion.header import read_header
from services.lm.errors import LmError
from services.protocols.cases import case_to_document
from services.protocols.profile import get_profile, profile_ids
from services.protocols.suites.suite import Suite
from services.registry.domain.jsonl import LineError, read_lines, scan_lines
from services.registry.domain.suite_source import AS_THEY_ARE, read_cases
from services.registry.importers.rows.__main__ import main as convert_rows
from services.registry.importers.safetensors_header import HeaderError, read_sizes
from services.registry.importers.suites.bfcl import read_bfcl
from services.registry.importers.suites.prompts import read_prompts
from services.registry.usecases.dataset import row_of
from tests.fuzz.edges import kept_inputs
from tests.fuzz.tally import Tally
from tests.fuzz.values import flipped, line
from tests.unit.registry.model_folders import write_safetensors

MOST_SECONDS = 2.0
_REFUSALS = (LineError, InvalidArgument)


def fuzz_file(target: str, num_inputs: int, seed: int, tally: Tally) -> None:
    """Read so many files, those that are kept first.

    Args:
        target: One of `TARGETS`.
        num_inputs: Number of files.
        seed: Decides what is drawn.
        tally: Counts what was read and what refused, and is told of each error that is no refusal and of each reading
            that took long, with the file's bytes.
    """
    make, read, refusals = TARGETS[target]
    chance = random.Random(f"{seed}/{target}")
    tally.aim(target, num_inputs)
    with tempfile.TemporaryDirectory(prefix="drillyard-fuzz-") as folder:
        path = Path(folder) / "file"
        for content in islice(_inputs(target, make(Path(folder)), chance), num_inputs):
            path.write_bytes(content)
            begin, outcome = time.process_time(), "read"
            try:
                read(path)
            except refusals:
                outcome = "refused"
            except Exception as error:
                # Whatever it is, it is what is looked for.
                tally.add_fault(target, f"{type(error).__name__}: {str(error)[:200]}", content)
                outcome = "broken"
            if (seconds := time.process_time() - begin) > MOST_SECONDS:
                tally.add_fault(target, f"read for {seconds:.1f} s of CPU time", content)
            tally.outcomes[target][outcome] += 1


def _inputs(target: str, draw: Callable[[random.Random], bytes], chance: random.Random) -> Iterator[bytes]:
    yield from kept_inputs(target)
    while True:
        yield draw(chance)


def _safetensors(folder: Path) -> Callable[[random.Random], bytes]:
    write_safetensors(folder / "sample")
    sample = (folder / "sample").read_bytes()
    header = json.loads(sample[8 : 8 + int.from_bytes(sample[:8], "little")])

    def draw(chance: random.Random) -> bytes:
        if chance.random() < 0.4:
            return flipped(chance, sample)
        text = line(chance, [header])
        return len(text).to_bytes(8, "little") + text + bytes(chance.choice((0, 512, 1024)))

    return draw


def _gguf(folder: Path) -> Callable[[random.Random], bytes]:
    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value.encode())) + value.encode()

    keys = [("general.architecture", 8, text("llama")), ("llama.block_count", 4, struct.pack("<I", 1))]
    keys += [("tokens", 9, struct.pack("<IQ", 8, 2) + text("a") + text("b")), ("eps", 6, struct.pack("<f", 1e-5))]
    sample = b"GGUF" + struct.pack("<IQQ", 3, 2, len(keys))
    sample += b"".join(text(name) + struct.pack("<I", kind) + value for name, kind, value in keys)
    for place, name in enumerate(("token_embd.weight", "output.weight")):
        sample += text(name) + struct.pack("<IQQIQ", 2, 4, 8, 0, 128 * place)
    sample += bytes(-len(sample) % 32) + bytes(256)
    return lambda chance: flipped(chance, sample)


def _cases(folder: Path) -> Callable[[random.Random], bytes]:
    rows = [case_to_document(case) for suite in _suites() for case in suite.cases[:20]]
    return lambda chance: b"\n".join(line(chance, rows) for _ in range(chance.choice((1, 1, 2))))


def _foreign(folder: Path) -> Callable[[random.Random], bytes]:
    function = {"name": "f", "description": "d", "parameters": {"type": "dict", "properties": {"a": {"type": "float"}}}}
    rows: list[dict[str, Any]] = [
        {"id": "simple_0", "question": [[{"role": "user", "content": "q"}]], "function": [function]},
        {"id": "x", "prompt": "What?", "answer": "That.", "messages": [{"role": "user", "content": "q"}]},
        {"input": [{"role": "system", "content": "s"}], "target": ["a", "b"], "function": function},
    ]
    return lambda chance: b"\n".join(line(chance, rows) for _ in range(chance.choice((1, 1, 2))))


def _rows(folder: Path) -> Callable[[random.Random], bytes]:
    profile = get_profile("roo_xml")
    rows: list[dict[str, Any]] = []
    for case in profile.suites()[0].cases[:20]:
        messages = profile.example(case, "compact")["messages"]
        facts = {"split": "train", "tool": "read_file", "category": "c", "cause": "none", "profile_id": "roo_xml"}
        rows.append({"example_id": case.case_id, "messages": messages, "case": case_to_document(case), **facts})
    rows.append({"messages": rows[0]["messages"], "tools": [{"type": "function", "function": {"name": "f"}}]})
    return lambda chance: line(chance, rows)


def _chats(folder: Path) -> Callable[[random.Random], bytes]:
    calls = [{"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}]
    messages = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "", "tool_calls": calls}]
    rows: list[dict[str, Any]] = [
        {"messages": messages, "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]},
        {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}], "system": "s"},
        {"prompt": messages[:1], "chosen": messages[1:], "rejected": [{"role": "assistant", "content": "b"}]},
        {"input": {"messages": messages[:1]}, "preferred_output": messages[1:], "non_preferred_output": messages[1:]},
    ]

    def draw(chance: random.Random) -> bytes:
        lines = [line(chance, rows) for _ in range(chance.choice((1, 1, 2)))]
        return b"\n".join(lines) if chance.random() < 0.7 else b"[" + b",".join(lines) + b"]"

    return draw


def _feedback(folder: Path) -> Callable[[random.Random], bytes]:
    said = {"transcript_id": "test-run-1/c/0", "turn": 1, "author": "a"}
    answer = {"role": "assistant", "content": "b"}
    rows: list[dict[str, Any]] = [
        {**said, "rating": {"value": 3, "scale": "RATING_SCALE_STARS"}},
        {**said, "correction": {"answers": [answer]}},
        {**said, "preference": {"chosen": answer, "rejected": answer}},
        {"chat_completion_id": "chatcmpl-1", "note": "n"},
        {"feedback_item_id": "feedback-1", "kind": "FEEDBACK_KIND_TAG", "tag": "slow", "subject": {"case_id": "c"}},
    ]
    return lambda chance: line(chance, rows)


def _suites() -> list[Suite]:
    return [suite for name in profile_ids() for suite in get_profile(name).suites()]


def _read_cases(path: Path) -> None:
    with path.open("rb") as stream:
        for profile_id in ("roo_xml", "openai_tools"):
            stream.seek(0)
            read_cases(scan_lines(stream), profile_id)


def _read_foreign(path: Path) -> None:
    read_cases(read_bfcl(path, AS_THEY_ARE, None), "openai_tools")
    read_cases(read_prompts(path, AS_THEY_ARE, None), "text")


def _read_rows(path: Path) -> None:
    with path.open("rb") as stream:
        for item in read_lines(stream):
            row_of(item)


def _read_chats(path: Path) -> None:
    options = json.dumps({"format": "UNSPECIFIED", "profile_id": "", "validation_share": 0.1})
    with redirect_stdout(StringIO()):
        convert_rows("read", str(path), str(path.with_name("rows")), options)


def _read_feedback(path: Path) -> None:
    import_line(1, path.read_bytes())


TARGETS: dict[str, tuple[Callable[[Path], Callable[[random.Random], bytes]], Callable[[Path], Any], Any]] = {
    "safetensors": (_safetensors, read_sizes, HeaderError),
    "gguf": (_gguf, read_header, LmError),
    "suites": (_cases, _read_cases, _REFUSALS),
    "foreign_suites": (_foreign, _read_foreign, _REFUSALS),
    "datasets": (_rows, _read_rows, _REFUSALS),
    "foreign_datasets": (_chats, _read_chats, _REFUSALS),
    "feedback": (_feedback, _read_feedback, _REFUSALS),
}
