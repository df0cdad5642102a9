"""Files of other hosts: fetched in parts, resumed, checked, or refused with the reason."""

import asyncio
import hashlib
import os
import random
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from services.chassis.errors import FailedPrecondition, NotFound, PermissionDenied, ResourceExhausted, Unavailable
from services.chassis.machine.hosts import HostPolicy, HostVariables
from services.chassis.machine.secrets import Secrets
from services.registry.downloads import transfer
from services.registry.downloads.download import Downloader
from services.registry.downloads.remote_file import RemoteFile, SourceRefused
from services.registry.downloads.transfer import DownloadLimits
from tests.unit.registry.sources.file_server import Asked, FileServer, Reply, serving_files

CONTENT = random.Random(7).randbytes(2_000_003)
DIGEST = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
LIMITS = DownloadLimits(part_bytes=200_000, write_bytes=1_000, stall_seconds=5.0, num_tries=3)
TWO = replace(LIMITS, num_connections=2)


def downloader(*hosts: str, limits: DownloadLimits = LIMITS) -> Downloader:
    variables = HostVariables("REGISTRY_SOURCE_HOSTS", "REGISTRY_SECRET_HOSTS")
    return Downloader(HostPolicy(hosts, Secrets("REGISTRY_", None, {}), variables=variables), limits)


async def ignore(_done: int, _total: int) -> None:
    """Take no note of the progress."""


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FileServer]:
    monkeypatch.setattr(transfer, "_FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(transfer, "_LAST_PAUSE_SECONDS", 0.002)
    async with serving_files() as server:
        server.files["/m.gguf"] = CONTENT
        yield server


async def fetch(server: FileServer, folder: Path, **words: object) -> bytes:
    target = folder / "m.gguf"
    await downloader().fetch(RemoteFile(f"{server.url}/m.gguf", **words), target, ignore)  # type: ignore[arg-type]
    assert [str(place) for place in folder.iterdir()] == [str(target)]  # noqa: ASYNC240
    return target.read_bytes()


async def test_a_file_comes_in_parts_and_each_byte_once(server: FileServer, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []

    async def progress(done: int, total: int) -> None:
        told.append((done, total))

    file = RemoteFile(f"{server.url}/m.gguf", len(CONTENT), DIGEST)
    await downloader().fetch(file, tmp_path / "m", progress)
    assert (tmp_path / "m").read_bytes() == CONTENT
    assert told[-1] == (len(CONTENT), len(CONTENT)) and told == sorted(told)
    # One byte asks whether the host takes ranges.
    assert server.sent_bytes == len(CONTENT) + 1
    assert len([asked for asked in server.requests if asked.headers.get("range")]) == 12


@pytest.mark.parametrize("size_bytes", [0, 1, 200_000, 200_001])
@pytest.mark.parametrize("takes_ranges", [True, False])
@pytest.mark.parametrize("is_known", [True, False])
async def test_files_of_any_size_come_from_hosts_of_any_kind(
    server: FileServer, tmp_path: Path, size_bytes: int, takes_ranges: bool, is_known: bool
) -> None:
    server.files["/m.gguf"] = content = CONTENT[:size_bytes]
    server.takes_ranges = server.tells_etag = takes_ranges
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    words = {"size_bytes": size_bytes, "digest": digest} if is_known else {}
    assert await fetch(server, tmp_path, **words) == content


async def test_a_small_file_is_known_by_the_name_that_git_gives_it(server: FileServer, tmp_path: Path) -> None:
    name = hashlib.sha1(b"blob 5\0hello", usedforsecurity=False).hexdigest()
    server.files["/m.gguf"] = b"hello"
    assert await fetch(server, tmp_path, size_bytes=5, digest=f"git-sha1:{name}") == b"hello"
    server.files["/m.gguf"] = b"hullo"
    (tmp_path / "m.gguf").unlink()
    with pytest.raises(FailedPrecondition, match=f"not git-sha1:{name}"):
        await fetch(server, tmp_path, size_bytes=5, digest=f"git-sha1:{name}")


async def test_connections_that_break_cost_no_byte_twice(server: FileServer, tmp_path: Path) -> None:
    def cut(asked: Asked) -> Reply | None:
        span = asked.headers["range"].removeprefix("bytes=").split("-")
        begin, end = int(span[0]), int(span[1])
        if end - begin < 20_000:
            return None
        headers = {"content-range": f"bytes {begin}-{end}/{len(CONTENT)}"}
        return Reply(206, headers, CONTENT[begin : end + 1], cut=30_000)

    server.answer = cut
    assert await fetch(server, tmp_path, size_bytes=len(CONTENT), digest=DIGEST) == CONTENT
    assert server.sent_bytes == len(CONTENT) + 1


# Loads the modules once, then forks for each line that it reads: a process that fetches the file.
FORKS = """
import asyncio, os, sys
from pathlib import Path
from tests.unit.registry.sources import downloads_test as tests
for _ in sys.stdin:
    process = os.fork()
    if not process:
        file = tests.RemoteFile(sys.argv[1], len(tests.CONTENT), tests.DIGEST)
        asyncio.run(tests.downloader(limits=tests.TWO).fetch(file, Path(sys.argv[2]), tests.ignore))
        os._exit(0)
    print(process, flush=True)
    print(os.waitpid(process, 0)[1], flush=True)
"""


async def test_a_process_killed_twenty_times_fetches_hardly_a_byte_twice(server: FileServer, tmp_path: Path) -> None:
    server.bytes_per_second = 100_000
    arguments = ("-c", FORKS, f"{server.url}/m.gguf", str(tmp_path / "m"))
    pipe = asyncio.subprocess.PIPE
    forking = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdin=pipe, stdout=pipe)
    assert forking.stdin and forking.stdout
    dice, status = random.Random(3), 1
    for number in range(21):
        num_requests = len(server.requests)
        forking.stdin.write(b"\n")
        process = int(await forking.stdout.readline())
        if number < 20:
            while len(server.requests) < num_requests + 2:
                await asyncio.sleep(0.001)
            await asyncio.sleep(dice.random() * 0.1)
            os.kill(process, signal.SIGKILL)
        else:
            server.bytes_per_second = 0
        status = int(await forking.stdout.readline())
        assert status == (signal.SIGKILL if number < 20 else 0)
    forking.stdin.close()
    await forking.wait()
    assert (tmp_path / "m").read_bytes() == CONTENT
    assert server.sent_bytes <= 1.1 * len(CONTENT)


async def test_what_is_left_of_another_state_of_the_file_is_not_used(server: FileServer, tmp_path: Path) -> None:
    server.answer = lambda asked: Reply(404) if asked.headers.get("range", "").startswith("bytes=1000000") else None
    with pytest.raises(NotFound):
        await fetch(server, tmp_path)
    server.answer = lambda _: None
    server.files["/m.gguf"] = CONTENT[::-1]
    assert await fetch(server, tmp_path) == CONTENT[::-1]


async def test_a_host_that_fails_for_a_moment_after_its_file_changed_is_asked_again(
    server: FileServer, tmp_path: Path
) -> None:
    num_failures = 0

    def change(asked: Asked) -> Reply | None:
        nonlocal num_failures
        if asked.headers.get("range") != "bytes=0-0":
            server.files["/m.gguf"] = CONTENT[::-1]
        elif server.files["/m.gguf"] != CONTENT and not num_failures:
            num_failures = 1
            return Reply(503)
        return None

    server.answer = change
    assert await fetch(server, tmp_path) == CONTENT[::-1]
    assert num_failures == 1


@pytest.mark.parametrize("size_bytes", [150_000, len(CONTENT)])
async def test_a_host_that_ignores_ranges_from_now_on_is_asked_for_the_whole(
    server: FileServer, tmp_path: Path, size_bytes: int
) -> None:
    server.files["/m.gguf"] = content = CONTENT[:size_bytes]

    def break_off(_: Asked) -> Reply | None:
        if len(server.requests) < 3:
            return None
        server.takes_ranges = False
        return Reply(200, {}, content, cut=60_000) if len(server.requests) == 3 else None

    server.answer = break_off
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    if size_bytes < LIMITS.part_bytes:
        server.requests += [Asked("GET", "/", {})] * 2
    assert await fetch(server, tmp_path, size_bytes=size_bytes, digest=digest) == content


async def test_what_a_host_without_ranges_sends_again_is_checked_again(server: FileServer, tmp_path: Path) -> None:
    server.takes_ranges = False
    others = [Reply(200, {}, CONTENT, cut=len(CONTENT) // 2), Reply(200, {}, b"other" + CONTENT[5:])]
    server.answer = lambda _: others.pop(0) if len(server.requests) > 1 and others else None
    with pytest.raises(FailedPrecondition, match=f"not {DIGEST}"):
        await fetch(server, tmp_path, size_bytes=len(CONTENT), digest=DIGEST)
    assert not (tmp_path / "m.gguf").exists()


async def test_bytes_that_rotted_on_the_disk_are_fetched_again(server: FileServer, tmp_path: Path) -> None:
    server.answer = lambda asked: Reply(404) if asked.headers.get("range", "").startswith("bytes=1000000") else None
    with pytest.raises(NotFound):
        await fetch(server, tmp_path, digest=DIGEST)
    server.answer = lambda _: None
    with (tmp_path / "m.gguf.part").open("r+b") as part:
        part.write(b"\0" * 1000)
    assert await fetch(server, tmp_path, digest=DIGEST) == CONTENT


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (CONTENT[:-1], "2000002 bytes, not the 2000003"),
        (CONTENT + b"x", "2000004 bytes, not the 2000003"),
        (CONTENT[::-1], f"not {DIGEST}"),
    ],
)
async def test_another_content_than_was_announced_is_refused(
    server: FileServer, tmp_path: Path, content: bytes, words: str
) -> None:
    server.files["/m.gguf"] = content
    with pytest.raises(FailedPrecondition, match=words):
        await fetch(server, tmp_path, size_bytes=len(CONTENT), digest=DIGEST)
    assert not (tmp_path / "m.gguf").exists()


async def test_a_body_that_never_ends_is_cut(server: FileServer, tmp_path: Path) -> None:
    body = b"5\r\nhello\r\n" * 3 + b"0\r\n\r\n"
    server.answer = lambda _: Reply(200, {"transfer-encoding": "chunked"}, body)
    with pytest.raises(FailedPrecondition, match="longer than the 7 bytes"):
        await fetch(server, tmp_path, size_bytes=7, digest=DIGEST)


async def test_a_token_goes_to_its_own_host_alone(server: FileServer, tmp_path: Path) -> None:
    async with serving_files("127.0.0.1") as other:
        other.files["/signed"] = CONTENT
        server.answer = lambda _: Reply(302, {"location": f"http://localhost:{other.port}/signed"})
        assert await fetch(server, tmp_path, headers={"authorization": "Bearer s"}) == CONTENT
        assert all("authorization" not in asked.headers for asked in other.requests)
    # Where a redirect led is asked again, so that each part costs one request.
    assert [asked.headers["authorization"] for asked in server.requests] == ["Bearer s"]


async def test_a_signed_address_that_expires_is_asked_for_again(server: FileServer, tmp_path: Path) -> None:
    expired: set[str] = set()

    def expire_once(asked: Asked) -> Reply | None:
        span = asked.headers.get("range", "")
        if len(other.requests) == 1 or span in expired:
            return None
        expired.add(span)
        return Reply(403)

    async with serving_files() as other:
        other.files["/signed"] = CONTENT
        other.answer = expire_once
        server.answer = lambda _: Reply(302, {"location": f"{other.url}/signed"})
        assert await fetch(server, tmp_path, digest=DIGEST) == CONTENT
    assert len(expired) > 1


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("ftp://127.0.0.1/x", "not followed"),
        ("http://10.0.0.1/x", "not asked under this name"),
        ("http://169.254.169.254/latest", "not asked under this name"),
        ("/again", "in a circle"),
    ],
)
async def test_a_redirect_leads_to_no_other_place_than_the_internet(
    server: FileServer, tmp_path: Path, location: str, words: str
) -> None:
    server.answer = lambda _: Reply(302, {"location": location})
    with pytest.raises((PermissionDenied, FailedPrecondition), match=words):
        await fetch(server, tmp_path)


@pytest.mark.parametrize(
    ("status", "error", "num_requests"),
    [
        (401, SourceRefused, 1),
        (403, SourceRefused, 1),
        (404, NotFound, 1),
        (400, FailedPrecondition, 1),
        (503, Unavailable, 3),
    ],
)
async def test_refusals_are_told_from_failures_that_pass(
    server: FileServer, tmp_path: Path, status: int, error: type[Exception], num_requests: int
) -> None:
    server.answer = lambda _: Reply(status)
    with pytest.raises(error):
        await fetch(server, tmp_path)
    assert len(server.requests) == num_requests


async def test_hosts_beyond_the_operator_s_list_are_not_asked(server: FileServer, tmp_path: Path) -> None:
    with pytest.raises(PermissionDenied, match="REGISTRY_SOURCE_HOSTS"):
        await downloader("a.example").fetch(RemoteFile(f"{server.url}/m.gguf"), tmp_path / "m", ignore)
    assert not server.requests


async def test_a_disk_without_room_is_told_before_the_first_byte(server: FileServer, tmp_path: Path) -> None:
    def huge(_: Asked) -> Reply:
        return Reply(206, {"content-range": f"bytes 0-0/{1 << 50}"}, b"x")

    server.answer = huge
    with pytest.raises(ResourceExhausted, match=str(1 << 50)):
        await fetch(server, tmp_path)
    assert server.sent_bytes == 1
