"""Inputs that all tests read again: what once broke something, and edges that chance seldom draws."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path

from drillyard.trainer.v1 import attempt_pb2, checkpoint_pb2
from google.protobuf.timestamp_pb2 import Timestamp

# By target, in folders that have the same names below `build/fuzz` after a run that broke something.
FOLDER = Path(__file__).parent / "kept"
_DEEP = b"[" * 100_000
_LONG_NUMBER = b"9" * 5_000
_LINES = (
    *(b"", b"\n\n", b"\xef\xbb\xbf{}", b"\xff\xfe{\x00}\x00", b"\0", b"null", b"[]", b"{}\r\n{}", b'{"a":1,"a":2}'),
    *(_DEEP, b'{"a":' * 50_000, _LONG_NUMBER, b'{"case_id":' + _LONG_NUMBER + b"}", b"[NaN,-Infinity,1e999]"),
    *(b'"\\ud800"', b'{"messages":[{"role":"user","content":"\\udfff\\u0000"}]}', b'{"messages":' + _DEEP + b"}"),
)
_GGUF = b"GGUF" + struct.pack("<I", 3)
_STRING, _ARRAY = 8, 9
_INPUTS: dict[str, tuple[bytes, ...]] = {
    # Bytes that are no message were UNKNOWN with the library's words, and a time before all time was INTERNAL.
    "rpc/GetModel": (b"\x0a\xff",),
    "rpc/GetTestRun": (b"\x0a\x02\xc3\x28",),
    "rpc/JudgeStream": (b"\x0a\xff",),
    "rpc/WatchLoop": (b"\x0a\xff",),
    "rpc/ReportAttempt": (
        attempt_pb2.ReportAttemptRequest(
            training_job_id="x", checkpoints=[checkpoint_pb2.Checkpoint(create_time=Timestamp(nanos=-1))]
        ).SerializeToString(),
    ),
    "safetensors": (
        *(b"", b"\0" * 8, b"\xff" * 8, struct.pack("<Q", 2) + b"{}", struct.pack("<Q", 3) + b"{}"),
        *(
            struct.pack("<Q", len(header)) + header
            for header in (
                *(_DEEP, b"[]", b"null", b"\xff\xff", b'{"a":' + _LONG_NUMBER + b"}", b'{"a":1,"a":2}'),
                *(
                    json.dumps({"t": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}).encode()
                    for dtype, shape, offsets in (
                        ("F32", [2**62, 2**62], [0, 0]),
                        ("F32", [-1], [0, -4]),
                        ("F32", [1], [4, 0]),
                        ("F32", [1.5], [0, 6]),
                        ("F32", [True], [0, 4]),
                        ("\ud800", [], [0, 4]),
                        (7, "11", {"0": 1}),
                    )
                ),
            )
        ),
    ),
    "gguf": (
        *(b"", b"GGUF", _GGUF, _GGUF + b"\xff" * 16, _GGUF + struct.pack("<QQ", 0, 0), b"FUGG" + _GGUF[4:]),
        _GGUF + struct.pack("<QQQ", 0, 1, 2**63),
        _GGUF + struct.pack("<QQQ", 2**63, 1, 1) + b"k" + struct.pack("<IIQ", _ARRAY, _STRING, 2**64 - 1),
        _GGUF
        + struct.pack("<QQQ", 0, 1, 1)
        + b"k"
        + struct.pack("<I", _ARRAY)
        + struct.pack("<IQ", _ARRAY, 1) * 10_000,
        _GGUF + struct.pack("<QQQ", 0, 1, 1) + b"\xff" + struct.pack("<I", 99),
        _GGUF + struct.pack("<QQQ", 1, 0, 1) + b"t" + struct.pack("<I4QIQ", 4, *[2**63] * 4, 0, 2**63),
    ),
    **dict.fromkeys(("suites", "foreign_suites", "datasets", "foreign_datasets", "feedback"), _LINES),
}


def kept_inputs(target: str) -> Iterator[bytes]:
    """Yield what is kept for a target of the fuzzer, such as `gguf` or `rpc/GetModel`."""
    yield from _INPUTS.get(target, ())
    yield from (path.read_bytes() for path in sorted((FOLDER / target).glob("*")) if path.is_file())
