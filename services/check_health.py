"""Asks gRPC servers for their health: `python -m services.check_health [--tls-dir DIR] HOST:PORT …`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.chassis.channel import open_blocking_channel
from services.chassis.machine.tls import TlsFolder

_SECONDS = 5.0


def main(arguments: list[str]) -> int:
    """Print one line per address, and return 0 if all serve, 1 if one does not."""
    parser = argparse.ArgumentParser(prog="python -m services.check_health")
    parser.add_argument("addresses", nargs="+", metavar="HOST:PORT")
    parser.add_argument("--tls-dir", type=Path, help="has tls.crt, tls.key and ca.crt, where services ask for them")
    given = parser.parse_args(arguments)
    tls = TlsFolder(given.tls_dir) if given.tls_dir else None
    answers = {address: health_of(address, tls=tls) for address in given.addresses}
    for address, answer in answers.items():
        print(f"{address} {answer}")
    return int(set(answers.values()) != {"SERVING"})


def health_of(address: str, seconds: float = _SECONDS, tls: TlsFolder | None = None) -> str:
    """Return SERVING or NOT_SERVING, or the status name of the call when the server gives no answer in time."""
    with open_blocking_channel(address, tls.pems() if tls else None) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=seconds, wait_for_ready=True)
        except grpc.RpcError as error:
            return str(error.code().name)
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
