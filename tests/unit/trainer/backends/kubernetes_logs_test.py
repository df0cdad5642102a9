"""What pods print is copied while they print it, each line once, and no file grows without end."""

from __future__ import annotations

import errno
from logging.handlers import RotatingFileHandler
from pathlib import Path

import pytest
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import ProtocolError

from services.trainer.backends.kubernetes_logs import PodLogs
from tests.unit.trainer.backends.fake_cluster import FakeCluster, Manifest


def pod(name: str = "worker-0", phase: str = "Running") -> Manifest:
    spec = {"containers": [{"name": "ray-worker"}, {"name": "istio-proxy"}]}
    return {"metadata": {"name": name}, "spec": spec, "status": {"phase": phase}}


def lines(*texts: str) -> str:
    return "".join(f"2026-11-29T10:00:00.{number:09d}Z {text}\n" for number, text in enumerate(texts))


async def copied(logs: PodLogs, folder: Path, *pods: Manifest) -> dict[str, str]:
    await logs.finish(folder, pods)
    return files_in(folder)


def files_in(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.glob("*")}


async def test_a_broken_connection_loses_no_line_and_repeats_none(tmp_path: Path) -> None:
    cluster = FakeCluster()
    logs, folder = PodLogs(cluster), tmp_path / "attempt-001"
    cluster.logs["worker-0"] = lines("one", "two")
    assert await copied(logs, folder, pod()) == {"worker-0.log": "one\ntwo\n"}
    cluster.faults["log"] = [ProtocolError("it broke")]
    assert await copied(logs, folder, pod()) == {"worker-0.log": "one\ntwo\n"}
    cluster.logs["worker-0"] = lines("one", "two", "three")
    assert await copied(logs, folder, pod(phase="Failed")) == {"worker-0.log": "one\ntwo\nthree\n"}


async def test_what_is_refused_or_whole_is_not_asked_for_again_and_hides_no_other(tmp_path: Path) -> None:
    cluster = FakeCluster()
    logs, pods = PodLogs(cluster), (pod("worker-0"), pod("worker-1", "Succeeded"), pod("worker-2", "Pending"))
    cluster.logs |= dict.fromkeys(("worker-0", "worker-1", "worker-2"), lines("words"))
    cluster.faults["log"] = [ApiException(403, "forbidden")]
    assert await copied(logs, tmp_path / "1", *pods) == {"worker-1.log": "words\n"}
    cluster.faults["log"] = [AssertionError("it was asked")]
    await copied(logs, tmp_path / "1", *pods)
    assert cluster.faults["log"]


@pytest.mark.parametrize("status", [400, 429])
async def test_a_container_that_is_not_ready_or_a_busy_cluster_is_asked_again(tmp_path: Path, status: int) -> None:
    cluster = FakeCluster()
    logs, cluster.logs["worker-0"] = PodLogs(cluster), lines("words")
    cluster.faults["log"] = [ApiException(status, "container is waiting to start: PodInitializing")]
    assert await copied(logs, tmp_path / "1", pod()) == {}
    assert await copied(logs, tmp_path / "1", pod()) == {"worker-0.log": "words\n"}


async def test_words_of_the_kubelet_hide_no_line_that_comes_later(tmp_path: Path) -> None:
    cluster = FakeCluster()
    logs, cluster.logs["worker-0"] = PodLogs(cluster), "unable to retrieve container logs for containerd://1"
    await copied(logs, tmp_path / "1", pod())
    cluster.logs["worker-0"] = lines("words")
    assert await copied(logs, tmp_path / "1", pod()) == {"worker-0.log": "words\n"}


async def test_a_line_that_the_disk_did_not_take_is_copied_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = FakeCluster()
    logs, cluster.logs["worker-0"] = PodLogs(cluster), lines("one", "two")

    def full(_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(RotatingFileHandler, "flush", full)
        await copied(logs, tmp_path / "1", pod())
    (tmp_path / "1/worker-0.log").unlink()
    assert await copied(logs, tmp_path / "1", pod()) == {"worker-0.log": "one\ntwo\n"}


async def test_a_log_that_grows_keeps_what_is_newest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.trainer.backends.kubernetes_logs._MAX_BYTES", 100)
    cluster = FakeCluster()
    cluster.logs["worker-0"] = lines(*(f"line {number:04d}" for number in range(1000)), "x" * 3_000_000)
    kept = await copied(PodLogs(cluster), tmp_path / "1", pod())
    assert sorted(kept) == ["worker-0.log", "worker-0.log.1"]
    assert kept["worker-0.log.1"].endswith("line 0999\n") and len(kept["worker-0.log.1"]) <= 100
    assert set(kept["worker-0.log"].strip()) == {"x"} and len(kept["worker-0.log"]) < 2 << 20
