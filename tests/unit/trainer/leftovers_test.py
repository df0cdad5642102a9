"""Processes of attempts are found and ended however they were orphaned."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import subprocess
import sys
import time
import uuid
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from services.chassis.errors import ResourceExhausted, Unavailable
from services.trainer.backends.processes import TOKEN, end_processes
from services.trainer.backends.ray_local import RayLocalBackend
from tests.unit.trainer.reporter_test import PLAN as SOME_PLAN

# Processes are known by their job alone, on the whole machine: other tests run at the same time.
JOB = f"train-{uuid.uuid4().hex}"
PLAN = replace(SOME_PLAN, training_job_id=JOB)

# A child in a session of its own whose parent has gone, and which says so.
ORPHAN = """
import subprocess, sys
quiet = subprocess.DEVNULL
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], start_new_session=True, stdout=quiet, stderr=quiet)
print(child.pid, flush=True)
"""
SLEEPS = "import time; time.sleep(600)"
# What Ray's agents do: the title is written over the arguments and the environment.
RENAMED = """
import ctypes, sys, time
stat = open("/proc/self/stat").read().rsplit(")", 1)[1].split()
start, end = int(stat[45]), int(stat[48])
title = b"ray::SomeAgent".ljust(end - start, b"\\0")
ctypes.memmove(start, title, len(title))
time.sleep(600)
"""


def spawn(program: str, cwd: Path, token: str) -> psutil.Process:
    environment = {**os.environ, **({TOKEN: token} if token else {})}
    command = [sys.executable, "-c", ORPHAN, program]
    output = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=True).stdout
    return psutil.Process(int(output))


def wait_for_title(process: psutil.Process) -> None:
    end = time.monotonic() + 30
    while not process.cmdline()[0].startswith("ray::"):
        assert time.monotonic() < end
        time.sleep(0.02)


def is_gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_orphans_are_known_by_the_token_of_their_job(tmp_path: Path) -> None:
    mine, other = spawn(SLEEPS, tmp_path, f"{JOB}/2"), spawn(SLEEPS, tmp_path, f"{JOB}1/2")
    try:
        assert end_processes(JOB, tmp_path / JOB) == 1
        assert is_gone(mine) and not is_gone(other)
        assert end_processes(JOB, tmp_path / JOB) == 0
    finally:
        other.kill()


def test_agents_that_overwrote_their_environment_are_known_by_title_and_folder(tmp_path: Path) -> None:
    folder = tmp_path / JOB
    (folder / "attempt-001").mkdir(parents=True)
    agent = spawn(RENAMED, folder / "attempt-001", f"{JOB}/2")
    elsewhere = spawn(RENAMED, tmp_path, f"{JOB}2/2")
    try:
        wait_for_title(agent)
        wait_for_title(elsewhere)
        assert TOKEN not in agent.environ()
        assert end_processes(JOB, folder) == 1
        assert is_gone(agent) and not is_gone(elsewhere)
    finally:
        elsewhere.kill()


@pytest.mark.parametrize("plan", ["", '{"training_job_id": "train', '{"attempt": 1}'])
async def test_an_attempt_whose_plan_is_torn_empty_or_older_is_cleared_too(tmp_path: Path, plan: str) -> None:
    attempt = tmp_path / JOB / "attempt-001"
    attempt.mkdir(parents=True)
    (attempt / "plan.json").write_text(plan)
    scratch = tmp_path / "dy-1"
    (scratch / "sockets").mkdir(parents=True)
    (attempt / "scratch").symlink_to(scratch)
    assert await RayLocalBackend(tmp_path).clear(JOB) == 0
    assert not scratch.exists()
    assert await RayLocalBackend(tmp_path).clear(JOB) == 0


async def test_an_attempt_that_takes_more_memory_than_it_may_is_ended_whole(tmp_path: Path) -> None:
    with pytest.raises(ResourceExhausted, match="more than 1 MiB of memory"):
        backend = RayLocalBackend(tmp_path, max_memory_bytes=1 << 20)
        await backend.run(await backend.prepare(PLAN))
    assert end_processes(PLAN.training_job_id, tmp_path) == 0


def test_a_disk_that_is_full_as_an_attempt_is_prepared_is_an_outage_and_nothing_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans: list[str] = []

    def full(path: Path, content: str) -> None:
        plans.append(content)
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with monkeypatch.context() as patch, pytest.raises(ResourceExhausted, match=r"plan\.json"):
        patch.setattr("services.trainer.backends.ray_local.write_atomically", full)
        asyncio.run(RayLocalBackend(tmp_path).prepare(PLAN))
    assert not Path(json.loads(plans[0])["scratch_folder"]).exists()
    plan = asyncio.run(RayLocalBackend(tmp_path).prepare(PLAN))
    assert Path(plan.scratch_folder).is_dir()
    asyncio.run(RayLocalBackend(tmp_path).clear(PLAN.training_job_id))
    assert not Path(plan.scratch_folder).exists()


def test_a_person_who_looks_at_the_logs_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / JOB
    folder.mkdir()
    person = spawn(SLEEPS, folder, "")
    try:
        assert end_processes(JOB, folder) == 0
        assert not is_gone(person)
    finally:
        person.kill()


def test_a_process_that_cannot_be_ended_is_an_outage_which_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = spawn(SLEEPS, tmp_path, f"{JOB}/2")
    monkeypatch.setattr("services.trainer.backends.processes._END_SECONDS", -1)
    try:
        with pytest.raises(Unavailable, match=str(process.pid)):
            end_processes(JOB, tmp_path / JOB)
    finally:
        process.kill()
