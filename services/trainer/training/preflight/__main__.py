"""`python -m services.trainer.training.preflight`: answers requests, a JSON line each, until standard input ends.

What it reads is from elsewhere, templates are programs: time and memory of a request are bounded, and so is what is
kept between requests.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter

from services.chassis.machine.parent import die_with_parent
from services.chassis.wire import from_document
from services.lm.errors import LmError
from services.lm.process import bounded_template
from services.protocols.suites.near_copies import SuiteTasks
from services.trainer.domain.preflight import PreflightRequest, RowsReport, SuiteFile
from services.trainer.domain.spec import TrainingJobSpec
from services.trainer.training.preflight.reader import Reader
from services.trainer.training.preflight.report import report_of
from services.trainer.training.preflight.scan import Scan, suite_tasks

# What a template may take beyond the time that a request has for looking at rows.
_ROW_SECONDS: Final = 30.0
_MEMORY_LIMIT_BYTES: Final = 2 << 30
_MAX_SCANS: Final = 3
_REQUESTS = TypeAdapter(PreflightRequest)
_REPORTS = TypeAdapter(RowsReport)


class Preflights:
    """The scans that are kept, the oldest given up for a new one."""

    def __init__(self) -> None:
        self._scans: OrderedDict[tuple[str, ...], Scan] = OrderedDict()
        self._tasks: tuple[tuple[SuiteFile, ...], SuiteTasks] = ((), SuiteTasks([]))

    def answer(self, request: PreflightRequest) -> RowsReport:
        """Return what is known by now.

        Raises:
            LmError: The model's files cannot be used, or its template takes too long.
        OSError: A file cannot be read, such as that of a dataset that was deleted meanwhile.
        """
        spec = from_document(TrainingJobSpec, request.spec)
        # To open a model takes its time on a busy machine, and runs nothing of it.
        scan = self._scan(request, spec)
        with bounded_template(request.seconds + _ROW_SECONDS, _MEMORY_LIMIT_BYTES):
            if not scan.is_done:
                scan.go_on(request.seconds)
            return report_of(
                scan,
                spec,
                base_folder=Path(request.base_folder),
                line=request.line,
                dtype=request.dtype,
                adapter_folder=Path(request.adapter_folder) if request.adapter_folder else None,
            )

    def _scan(self, request: PreflightRequest, spec: TrainingJobSpec) -> Scan:
        suites = tuple(sorted(request.suites, key=lambda suite: suite.test_suite_version_id))
        key = (request.base_digest, request.dataset_digest, spec.method, *(suite.digest for suite in suites))
        scan = self._scans.pop(key, None)
        if scan is None:
            reader = Reader.of(Path(request.base_folder))
            scan = Scan(reader, Path(request.dataset_file), spec.method, self._tasks_of(suites))
        self._scans[key] = scan
        while len(self._scans) > _MAX_SCANS:
            self._scans.popitem(last=False)
        return scan

    def _tasks_of(self, suites: tuple[SuiteFile, ...]) -> SuiteTasks:
        if self._tasks[0] != suites:
            self._tasks = suites, suite_tasks(suites)
        return self._tasks[1]


def main() -> None:
    """Answer requests; a refusal is a line `{"refusal": …}`."""
    parser = argparse.ArgumentParser(prog="python -m services.trainer.training.preflight")
    parser.add_argument("--parent-pid", type=int, required=True)
    die_with_parent(parser.parse_args().parent_pid)
    output = os.fdopen(os.dup(1), "wb")
    # Libraries print hints, which must not stand among the answers.
    os.dup2(2, 1)
    preflights = Preflights()
    for line in sys.stdin.buffer:
        try:
            report = preflights.answer(_REQUESTS.validate_json(line))
        except (LmError, OSError) as error:
            output.write(TypeAdapter(dict[str, str]).dump_json({"refusal": str(error)}) + b"\n")
        else:
            output.write(_REPORTS.dump_json(report) + b"\n")
        output.flush()


if __name__ == "__main__":
    main()
