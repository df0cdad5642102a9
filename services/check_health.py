"""Asks gRPC servers for their health: `python -m services.check_health HOST:PORT …`."""

from __future__ import annotations

import sys
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.chassis.channel import DIRECT

_SECONDS = 5.0


def main(addresses: list[str]) -> int:
    """Print one line per address, and return 0 if all serve, 1 if one does not, 2 if none was given."""
    if not addresses:
        print("usage: python -m services.check_health HOST:PORT …", file=sys.stderr)
        return 2
    answers = {address: health_of(address) for address in addresses}
    for address, answer in answers.items():
        print(f"{address} {answer}")
    return int(set(answers.values()) != {"SERVING"})


def health_of(address: str, seconds: float = _SECONDS) -> str:
    """Return SERVING or NOT_SERVING, or the status name of the call when the server gives no answer in time."""
    with grpc.insecure_channel(address, options=[DIRECT]) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=seconds, wait_for_ready=True)
        except grpc.RpcError as error:
            return str(error.code().name)
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
