"""Files that several imports want, that need more room than they have, or that come by a proxy."""

import asyncio
import contextlib
import ssl
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from services.chassis.errors import ResourceExhausted
from services.chassis.machine.guarded_http import open_client
from services.registry.downloads.remote_file import RemoteFile
from services.registry.downloads.sharing import forget_shared
from services.registry.importers.sources.fetching import fetch_all
from tests.unit.lm.gguf.models import weights
from tests.unit.lm.gguf.models import write as write_gguf
from tests.unit.registry.sources.downloads_test import CONTENT, DIGEST, downloader, ignore
from tests.unit.registry.sources.file_server import serving_files
from tests.unit.registry.sources.imports import fetch_place


async def test_of_two_pulls_of_one_digest_at_the_same_time_one_fetches(tmp_path: Path) -> None:
    async with serving_files() as server:
        server.files["/m.gguf"], server.bytes_per_second = CONTENT, 20_000_000
        file = RemoteFile(f"{server.url}/m.gguf", len(CONTENT), DIGEST)
        folders = [tmp_path / name for name in ("fetched-a", "fetched-b", "fetched-c")]
        await asyncio.gather(
            *(fetch_all(downloader(), {"m.gguf": file}, fetch_place(folder, ignore)) for folder in folders)
        )
        assert all((folder / "m.gguf").read_bytes() == CONTENT for folder in folders)
        assert server.sent_bytes == len(CONTENT) + 1
    for folder in folders:
        (folder / "m.gguf").unlink()
    forget_shared(tmp_path / "fetched-shared")
    assert not (tmp_path / "fetched-shared").exists()


async def test_one_that_waited_for_a_pull_that_failed_fetches_itself(tmp_path: Path) -> None:
    async with serving_files() as server:
        server.files["/m.gguf"], server.bytes_per_second = CONTENT, 2_000_000
        file = RemoteFile(f"{server.url}/m.gguf", len(CONTENT), DIGEST)
        first, second = (
            asyncio.create_task(fetch_all(downloader(), {"m": file}, fetch_place(tmp_path / name, ignore)))
            for name in ("fetched-a", "fetched-b")
        )
        while not server.sent_bytes:
            await asyncio.sleep(0.001)
        server.bytes_per_second = 0
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        await second
        assert (tmp_path / "fetched-b" / "m").read_bytes() == CONTENT


async def test_the_room_for_what_is_made_of_a_gguf_is_told_by_its_header(tmp_path: Path) -> None:
    rooms: list[tuple[int, int]] = []

    def check_space(fetched: int, written: int) -> None:
        rooms.append((fetched, written))
        if len(rooms) > 1:
            raise ResourceExhausted("No room.")

    tensors = {name: values.astype(np.float16) for name, values in weights().items()}
    content = write_gguf(tmp_path / "m.gguf", tensors=tensors).read_bytes()
    async with serving_files() as server:
        server.files["/m.gguf"] = content
        file = RemoteFile(f"{server.url}/m.gguf", len(content))
        with pytest.raises(ResourceExhausted):
            await fetch_all(downloader(), {"m.gguf": file}, fetch_place(tmp_path / "fetched", ignore, check_space))
    num_numbers = sum(values.size for values in tensors.values())
    assert rooms == [(len(content), len(content)), (len(content), 11 * len(content)), (len(content), 2 * num_numbers)]


async def test_proxies_of_the_environment_are_asked_unless_a_host_needs_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "http://models.example/m.gguf"
    async with serving_files() as proxy:
        monkeypatch.setenv("http_proxy", f"http://user:p%40ss@127.0.0.1:{proxy.port}")
        proxy.files[url] = CONTENT
        await downloader("models.example").fetch(RemoteFile(url, len(CONTENT), DIGEST), tmp_path / "m", ignore)
        assert (tmp_path / "m").read_bytes() == CONTENT
        assert {asked.headers["proxy-authorization"] for asked in proxy.requests} == {"Basic dXNlcjpwQHNz"}
        async with open_client(uses_proxies=True) as client:
            assert (await client.get(url)).content == CONTENT


async def _tunnel(
    server_port: int, asked: list[str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    asked.append(head.decode().partition(" HTTP/")[0])
    there = await asyncio.open_connection("127.0.0.1", server_port)
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")

    async def pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while piece := await source.read(1 << 16):
                target.write(piece)
        target.close()

    await asyncio.gather(pass_on(reader, there[1]), pass_on(there[0], writer))


async def test_files_come_over_tls_and_through_a_tunnel_of_a_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    names = "subjectAltName=DNS:localhost,DNS:models.example"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", str(key), "-out", str(certificate), "-subj", "/CN=localhost", "-addext", names]
    await (await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)).wait()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    asked: list[str] = []
    async with serving_files(tls=context) as server:
        server.files["/m"] = CONTENT
        proxy = await asyncio.start_server(partial(_tunnel, server.port, asked), "127.0.0.1", 0)
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}")
        for host in ("localhost", "models.example"):
            file = RemoteFile(f"https://{host}:{server.port}/m", len(CONTENT), DIGEST)
            await downloader(host).fetch(file, tmp_path / host, ignore)
            assert (tmp_path / host).read_bytes() == CONTENT
        proxy.close()
    assert set(asked) == {f"CONNECT models.example:{server.port}"}
