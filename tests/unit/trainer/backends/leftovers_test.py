"""Processes of attempts are found and ended however they were orphaned."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import uuid
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from services.chassis.errors import ResourceExhausted, Unavailable
from services.trainer.backends.processes import TOKEN, end_processes
from services.trainer.backends.ray_local import RayLocalBackend
from tests.machine import has_ended
from tests.unit.trainer.reporter_test import PLAN as SOME_PLAN

# Processes are known by their token alone, on the whole machine: other tests run at the same time.
JOB = f"train-{uuid.uuid4().hex}"
TOKEN_HERE = f"dy-{uuid.uuid4().hex}"
PLAN = replace(SOME_PLAN, training_job_id=JOB)

# A child in a session of its own whose parent has gone, and which says so.
ORPHAN = """
import subprocess, sys
quiet = subprocess.DEVNULL
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], start_new_session=True, stdout=quiet, stderr=quiet)
print(child.pid, flush=True)
"""
SLEEPS = "import time; time.sleep(600)"


def spawn(program: str, cwd: Path, token: str) -> psutil.Process:
    environment = {**os.environ, **({TOKEN: token} if token else {})}
    command = [sys.executable, "-c", ORPHAN, program]
    output = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=True).stdout
    return psutil.Process(int(output))


def is_there(path: Path) -> bool:
    return path.exists()


def test_orphans_are_known_by_their_token(tmp_path: Path) -> None:
    mine, other = spawn(SLEEPS, tmp_path, TOKEN_HERE), spawn(SLEEPS, tmp_path, f"{TOKEN_HERE}1")
    try:
        assert end_processes(TOKEN_HERE) == 1
        assert has_ended(mine) and not has_ended(other)
        assert end_processes(TOKEN_HERE) == 0
    finally:
        other.kill()


@pytest.mark.parametrize("plan", ["", '{"training_job_id": "train', '{"attempt": 1}'])
async def test_an_attempt_whose_plan_is_torn_empty_or_older_is_cleared_too(tmp_path: Path, plan: str) -> None:
    attempt = tmp_path / JOB / "attempt-001"
    attempt.mkdir(parents=True)
    (attempt / "plan.json").write_text(plan)
    scratch = tmp_path / TOKEN_HERE
    scratch.mkdir()
    (attempt / "scratch").symlink_to(scratch)
    orphan = spawn(SLEEPS, tmp_path, TOKEN_HERE)
    assert await RayLocalBackend(tmp_path).clear(JOB) == 1
    assert has_ended(orphan) and not scratch.exists()
    assert await RayLocalBackend(tmp_path).clear(JOB) == 0


async def test_processes_that_serve_another_job_by_now_are_left_to_it(tmp_path: Path) -> None:
    attempt, scratch = tmp_path / JOB / "attempt-001", tmp_path / TOKEN_HERE
    attempt.mkdir(parents=True)
    scratch.mkdir()
    (scratch / "job").write_text("train-another")
    (attempt / "scratch").symlink_to(scratch)
    process = spawn(SLEEPS, tmp_path, TOKEN_HERE)
    try:
        assert await RayLocalBackend(tmp_path).clear(JOB) == 0
        assert not has_ended(process) and scratch.exists()
    finally:
        process.kill()


@pytest.fixture
def scratch() -> Path:
    """A folder whose sockets have short paths, as those of a test's own folder may not have."""
    return Path(tempfile.mkdtemp(prefix="dy-", dir="/tmp"))


async def test_folders_of_a_killed_service_go_with_the_next_attempt(tmp_path: Path, scratch: Path) -> None:
    attempt = tmp_path / "train-before" / "attempt-001"
    attempt.mkdir(parents=True)
    (attempt / "scratch").symlink_to(scratch)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(scratch / "plans"))
        server.listen()
        await RayLocalBackend(tmp_path).prepare(PLAN)
        assert is_there(scratch)
    # Its service may be one that has just bound the socket, and is about to listen.
    await RayLocalBackend(tmp_path).prepare(PLAN)
    assert is_there(scratch)
    os.utime(scratch / "plans", (0, 0))
    await RayLocalBackend(tmp_path).prepare(PLAN)
    assert not is_there(scratch)
    assert await RayLocalBackend(tmp_path).clear(JOB) == 0


def test_folders_that_others_remove_meanwhile_are_passed_over(
    tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = tmp_path / JOB / "attempt-001"
    attempt.mkdir(parents=True)
    (attempt / "scratch").symlink_to(scratch)
    (scratch / "plans").touch()
    os.utime(scratch / "plans", (0, 0))

    def another_does(folder: Path) -> int:
        shutil.rmtree(folder)
        (attempt / "scratch").unlink()
        return 0

    monkeypatch.setattr("services.trainer.backends.ray_local.end_leftovers", another_does)
    asyncio.run(RayLocalBackend(tmp_path).prepare(replace(PLAN, attempt=2)))
    scratch.mkdir()
    (attempt / "scratch").symlink_to(scratch)
    assert asyncio.run(RayLocalBackend(tmp_path).clear(JOB)) == 0


async def test_an_attempt_that_takes_more_memory_than_it_may_is_ended_whole(tmp_path: Path) -> None:
    backend = RayLocalBackend(tmp_path, max_memory_bytes=1 << 20)
    plan = await backend.prepare(PLAN)
    with pytest.raises(ResourceExhausted, match="more than 1 MiB of memory"):
        await backend.run(plan)
    assert end_processes(Path(plan.scratch_folder).name) == 0


def test_a_disk_that_is_full_as_an_attempt_is_prepared_is_an_outage_and_nothing_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, _content: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with monkeypatch.context() as patch, pytest.raises(ResourceExhausted, match=r"plan\.json"):
        patch.setattr("services.trainer.backends.ray_local.write_atomically", full)
        asyncio.run(RayLocalBackend(tmp_path).prepare(PLAN))
    assert not list(tmp_path.glob("*/*/scratch"))
    plan = asyncio.run(RayLocalBackend(tmp_path).prepare(PLAN))
    assert Path(plan.scratch_folder).is_dir()
    asyncio.run(RayLocalBackend(tmp_path).clear(PLAN.training_job_id))
    assert not Path(plan.scratch_folder).exists()


def test_a_person_who_looks_at_the_logs_is_left_alone(tmp_path: Path) -> None:
    person = spawn(SLEEPS, tmp_path, "")
    try:
        assert end_processes(TOKEN_HERE) == 0
        assert not has_ended(person)
    finally:
        person.kill()


def test_a_process_that_cannot_be_ended_is_an_outage_which_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = spawn(SLEEPS, tmp_path, TOKEN_HERE)
    monkeypatch.setattr("services.trainer.backends.processes._END_SECONDS", -1)
    try:
        with pytest.raises(Unavailable, match=str(process.pid)):
            end_processes(TOKEN_HERE)
    finally:
        process.kill()
