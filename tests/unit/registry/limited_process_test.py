import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from services.chassis.errors import InvalidArgument, ResourceExhausted, ServiceError
from services.registry.importers.limited_process import Limits, run_limited
from tests.machine import PATIENCE_SECONDS, has_ended

WIDE = Limits(memory_bytes=1024**3, cpu_seconds=20, file_bytes=1024**2, wall_seconds=30.0)


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], object]:
    """Writes a module `foreign` that the child can import."""
    paths = [str(tmp_path), *os.environ.get("PYTHONPATH", "").split(os.pathsep), str(Path.cwd())]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    return (tmp_path / "foreign.py").write_text


async def run(limits: Limits = WIDE, *arguments: str) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []

    async def keep(line: dict[str, Any]) -> None:
        lines.append(line)

    await run_limited("foreign", arguments, limits, keep)
    return lines


async def refusal_of(limits: Limits = WIDE) -> ServiceError:
    with pytest.raises(ServiceError) as refusal:
        await run(limits)
    return refusal.value


async def test_each_line_of_the_module_arrives_in_order(write: Callable[[str], object]) -> None:
    write("import sys, json\nfor a in sys.argv[1:]: print(json.dumps({'a': a}))")
    assert await run(WIDE, "x", "y") == [{"a": "x"}, {"a": "y"}]


async def test_a_refusal_with_a_reason_is_an_answer(write: Callable[[str], object]) -> None:
    write('print(\'{"problem": "It is bad."}\'); raise SystemExit(1)')
    assert await run() == [{"problem": "It is bad."}]


async def test_a_file_larger_than_may_be_written_is_refused_by_name(write: Callable[[str], object]) -> None:
    write("import tempfile\ntempfile.TemporaryFile().write(bytes(2 * 1024**2))")
    assert (await refusal_of()).problem == "The model's files needed to write more than 1048576 bytes to be read."


async def test_too_much_memory_is_refused_by_name(write: Callable[[str], object]) -> None:
    write("x = bytearray(2 * 1024**3)")
    refusal = await refusal_of()
    assert isinstance(refusal, ResourceExhausted)
    assert "bytes of memory" in refusal.problem


async def test_too_much_computing_is_refused_in_time(write: Callable[[str], object]) -> None:
    write("while True: pass")
    refusal = await refusal_of(Limits(1024**3, 1, 0, 90.0))
    assert isinstance(refusal, ResourceExhausted)
    assert "1 s of computing" in refusal.problem


async def test_a_process_that_only_waits_is_ended_by_the_clock(write: Callable[[str], object]) -> None:
    write("import time; time.sleep(1000)")
    assert isinstance(await refusal_of(Limits(1024**3, 20, 0, 1.0)), ResourceExhausted)


async def test_a_file_over_its_limit_cannot_be_written(write: Callable[[str], object], tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(f"import pathlib; pathlib.Path({str(out)!r}).write_bytes(bytes(4096))")
    await refusal_of(Limits(1024**3, 20, 1024, 30.0))
    assert out.stat().st_size <= 1024


async def test_a_module_longer_than_the_limit_of_files_can_be_run_again(write: Callable[[str], object]) -> None:
    write("print('{}')\n" + "".join(f"VALUE_{number} = 'text {number}'\n" for number in range(500)))
    for _ in range(2):
        assert await run(Limits(1024**3, 20, 1024, 30.0)) == [{}]


@pytest.mark.parametrize("text", ["raise KeyError", "import os; os.abort()", "print('not json')", "print('[')"])
async def test_a_reader_that_breaks_blames_the_file_without_its_trace(
    write: Callable[[str], object], text: str
) -> None:
    write(text)
    refusal = await refusal_of()
    assert isinstance(refusal, InvalidArgument)
    assert "Traceback" not in str(refusal)
    assert refusal.next_step


async def test_an_endless_line_is_refused(write: Callable[[str], object]) -> None:
    write("import sys\nwhile True: sys.stdout.write('x' * 65536)")
    assert isinstance(await refusal_of(), InvalidArgument)


async def test_noise_on_stderr_is_drained(write: Callable[[str], object]) -> None:
    write("import sys\nfor _ in range(200): sys.stderr.write('x' * 65536)\nprint('{\"a\": 1}')")
    assert await run() == [{"a": 1}]


async def test_a_cancelled_caller_leaves_no_process(write: Callable[[str], object], tmp_path: Path) -> None:
    pids = tmp_path / "pid"
    write(
        "import os, pathlib, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(1000)'])\n"
        f"pathlib.Path({str(pids)!r}).write_text(f'{{os.getpid()}} {{child.pid}}\\n')\n"
        "time.sleep(1000)"
    )
    task = asyncio.create_task(run(Limits(8 * 1024**3, 20, 1024**2, 600.0)))
    found = await asyncio.to_thread(wait_for_text, pids)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(wait_until_gone, [int(pid) for pid in found.split()])


def test_the_process_dies_with_the_one_that_started_it(write: Callable[[str], object], tmp_path: Path) -> None:
    pids = tmp_path / "pid"
    write(f"import os, pathlib, time\npathlib.Path({str(pids)!r}).write_text(f'{{os.getpid()}}\\n')\ntime.sleep(1000)")
    starter = (
        "import asyncio\n"
        "from services.registry.importers.limited_process import Limits, run_limited\n"
        "async def ignore(line): pass\n"
        "asyncio.run(run_limited('foreign', (), Limits(2**30, 20, 2**20, 600.0), ignore))"
    )
    parent = subprocess.Popen([sys.executable, "-c", starter])
    pid = int(wait_for_text(pids))
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    wait_until_gone([pid])


def wait_for_text(path: Path) -> str:
    end = time.monotonic() + PATIENCE_SECONDS
    while not path.exists() or not path.read_text().endswith("\n"):
        assert time.monotonic() < end, "the module did not start"
        time.sleep(0.02)
    return path.read_text()


def wait_until_gone(pids: list[int]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    processes = [process for process in psutil.process_iter() if process.pid in pids]
    while not all(map(has_ended, processes)):
        assert time.monotonic() < end, "a process was left behind"
        time.sleep(0.02)


def test_limits_are_numbers_that_the_launcher_reads(write: Callable[[str], object]) -> None:
    write(
        "import json, resource as r\n"
        "print(json.dumps([r.getrlimit(k)[0] for k in (r.RLIMIT_AS, r.RLIMIT_CPU, r.RLIMIT_FSIZE, r.RLIMIT_CORE)]))"
    )
    launcher = [sys.executable, "-m", "services.registry.importers.limits", "1073741824:5:77", "foreign"]
    found = subprocess.run(launcher, capture_output=True, check=True)
    assert json.loads(found.stdout) == [1073741824, 5, 77, 0]
