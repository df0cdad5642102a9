"""`drillyard up`: everything on this machine, until Ctrl-C."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Annotated
from urllib.parse import urlsplit

import typer

from services.chassis.settings import is_loopback
from ui.cli.options import JsonFlag
from ui.cli.output import errors_shown, fail
from ui.cli.processes import Running, System

DataDir = Annotated[Path, typer.Option("--data", help="Folder that keeps everything.")]
_CHECK_SECONDS = 0.5
_PAGES_SECONDS = 120.0


@dataclass(frozen=True)
class ServingOptions:
    """Who may reach the gateway, and how."""

    host: Annotated[str, typer.Option(help="Address to listen at; 0.0.0.0 for all, with --authentication.")] = (
        "127.0.0.1"
    )
    authentication: Annotated[
        bool,
        typer.Option(
            "--authentication",
            envvar="GATEWAY_AUTHENTICATION",
            help="Ask everybody for a key; the first one is in DATA/admin-key.",
        ),
    ] = False
    outside_url: Annotated[
        str,
        typer.Option(
            envvar="GATEWAY_OUTSIDE_URL",
            help="Address at which a proxy shows the pages, such as https://lab.example/drill; without "
            "--authentication the proxy must ask for a login.",
        ),
    ] = ""


def up(
    serving: ServingOptions,
    data: DataDir = Path("data"),
    port: Annotated[
        int, typer.Option(help="Port of the pages and the API; 0 for any free one.", min=0, max=65535)
    ] = 7860,
    log_mib: Annotated[
        int,
        typer.Option(
            envvar="DRILLYARD_LOG_MIB", help="A longer log is emptied; what it held is kept once.", min=1, max=1_000_000
        ),
    ] = 32,
    as_json: JsonFlag = False,
) -> None:
    """Start the five services and the gateway on this machine, again if one ends, and stop them on Ctrl-C."""
    outside = _address(serving.outside_url, as_json=as_json)
    _refuse_open_door(serving, as_json=as_json)
    refuse_taken_port(port, serving.host, as_json=as_json)
    start = time.monotonic()
    with errors_shown(as_json=as_json), ended_by_signals():
        try:
            with System(
                data.resolve(),
                port,
                gateway_host=serving.host,
                outside_url=outside,
                asks_for_login=serving.authentication,
                max_log_bytes=log_mib * 1024 * 1024,
                on_ready=lambda item: _say_ready(item, as_json=as_json),
                on_restart=lambda sentence: _say_restart(sentence, as_json=as_json),
            ) as system:
                _say_all_ready(system, time.monotonic() - start, as_json=as_json)
                while True:
                    time.sleep(_CHECK_SECONDS)
                    system.check()
        except KeyboardInterrupt:
            print(json.dumps({"event": "stopped"}) if as_json else "Everything is stopped.", flush=True)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and a closed terminal end the block as Ctrl-C does."""

    def end(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    former = {item: signal.signal(item, end) for item in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for item, handler in former.items():
            signal.signal(item, handler)


def _refuse_open_door(serving: ServingOptions, *, as_json: bool) -> None:
    if not serving.authentication and not is_loopback(serving.host):
        problem = f"At {serving.host} everybody who reaches this machine could use the gateway."
        next_step = "Add --authentication, which asks everybody for a key, or leave --host away."
        fail("FAILED_PRECONDITION", problem, next_step, as_json=as_json)


def refuse_taken_port(port: int, host: str = "127.0.0.1", *, as_json: bool) -> None:
    """End the command when the gateway's port is in use, before anything is started."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            problem = f"Port {port} of this machine cannot be used: {error.strerror}."
            fail("FAILED_PRECONDITION", problem, "Name another with --port, or 0 for any free one.", as_json=as_json)


def _address(url: str, *, as_json: bool) -> str:
    if not url:
        return ""
    # The web framework behind it would slow the start of every command.
    from ui.gateway.middleware.outside import OutsideAddress

    try:
        return str(OutsideAddress.parse(url))
    except ValueError as error:
        fail("INVALID_ARGUMENT", f"--outside-url {url!r} is no such address.", f"Please {error}.", as_json=as_json)


def _say_ready(running: Running, *, as_json: bool) -> None:
    if as_json:
        line = {
            "event": "serving",
            "service": running.name,
            "address": running.address,
            "metrics_address": running.metrics_address,
        }
        print(json.dumps(line), flush=True)
    else:
        print(f"  {running.name:<12} serves at {running.address}  (metrics {running.metrics_address})", flush=True)


def _say_restart(sentence: str, *, as_json: bool) -> None:
    print(json.dumps({"event": "restart", "problem": sentence}) if as_json else sentence, flush=True)


def _say_all_ready(system: System, seconds: float, *, as_json: bool) -> None:
    if as_json:
        more = {"outside_url": system.outside_url} if system.outside_url else {}
        if system.asks_for_login:
            more["admin_key_file"] = str(system.admin_key_file)
        line = {"event": "ready", "url": system.url, **more, "data_dir": str(system.data_dir)}
        print(json.dumps(line), flush=True)
        return
    print(f"\nDrillyard is ready after {seconds:.1f} s:  {system.url}")
    if system.asks_for_login:
        print(f"First key: {system.admin_key_file}, for `drillyard keys create` by DRILLYARD_API_KEY")
    if system.outside_url:
        print(f"Pages: {system.outside_url}, behind your proxy")
    print(f"API:   {system.url}/docs")
    print(f"Data:  {system.data_dir} (logs in {system.data_dir / 'logs'})")
    print("Ctrl-C stops everything.", flush=True)
    # The gateway makes its pages when one is asked for, which takes seconds; a person will soon ask.
    threading.Thread(target=_prepare_pages, args=(system.url,), daemon=True).start()


def _prepare_pages(url: str) -> None:
    with suppress(OSError, http.client.HTTPException):
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=_PAGES_SECONDS)
        connection.request("GET", "/")
        connection.getresponse().read()
