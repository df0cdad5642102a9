"""Examines a model folder: `python -m services.lm.doctor FOLDER < request.json > diagnosis.json`.

A template is a program from elsewhere: its time and memory are bounded. Exit status 2 and one sentence on standard
error when the folder or the request cannot be read.
"""

import argparse
import os
import sys
from pathlib import Path
from typing import Final

from services.lm.doctor.diagnosis import MAX_REQUEST_BYTES, Diagnosis, request_from_json, to_json
from services.lm.doctor.subject import finding
from services.lm.errors import LimitExceeded, LmError
from services.lm.process import bounded_template

TIME_LIMIT_SECONDS: Final = 60
_MEMORY_LIMIT_BYTES: Final = 2 << 30


def main() -> None:
    """Read a request from standard input and write the diagnosis to standard output."""
    parser = argparse.ArgumentParser(prog="python -m services.lm.doctor", description="Examine a model folder.")
    parser.add_argument("folder", type=Path, help="model folder; its weights are not read")
    folder = parser.parse_args().folder
    output = os.fdopen(os.dup(1), "wb")
    # Libraries print hints, which must not stand among the results.
    os.dup2(2, 1)
    try:
        diagnosis = _bounded(folder, sys.stdin.buffer.read(MAX_REQUEST_BYTES + 1))
    except LmError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None
    with output:
        output.write(to_json(diagnosis))


def _bounded(folder: Path, text: bytes) -> Diagnosis:
    from services.lm.doctor.examination import examine
    from services.lm.doctor.subject import open_subject

    request = request_from_json(text)
    try:
        with bounded_template(TIME_LIMIT_SECONDS, _MEMORY_LIMIT_BYTES):
            return examine(open_subject(folder, request))
    except LimitExceeded:
        costs = finding("template_too_costly", seconds=TIME_LIMIT_SECONDS, gibibytes=_MEMORY_LIMIT_BYTES >> 30)
        return Diagnosis((costs,), ("template",))


if __name__ == "__main__":
    main()
