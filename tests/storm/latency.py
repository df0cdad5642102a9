"""`python -m tests.storm.latency FILE`: asks for one thing of every replica, five times a second, and keeps the times.

Reads the calls as JSON from standard input, and ends with it.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import grpc

from tests.storm.asking.kinds import KINDS

PERIOD_SECONDS = 0.2
_DEADLINE_SECONDS = 10.0
_OPTIONS = [
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 200),
]


def main() -> None:
    calls = json.loads(sys.stdin.readline())
    with Path(sys.argv[1]).open("w", buffering=1) as file:
        for call in calls:
            threading.Thread(target=_measure, args=(call, file), daemon=True).start()
        sys.stdin.read()


def _measure(call: dict[str, str], file: TextIO) -> None:
    kind = KINDS[call["kind"]]
    channel = grpc.insecure_channel(call["address"], options=_OPTIONS)
    get: Any = getattr(kind.stub(channel), kind.get)
    request = kind.named(kind.get, call["job_id"])
    while True:
        begin, code = time.monotonic(), "OK"
        try:
            get(request, timeout=_DEADLINE_SECONDS)
        except grpc.RpcError as error:
            code = error.code().name if isinstance(error, grpc.Call) else "UNKNOWN"
        seconds = time.monotonic() - begin
        file.write(json.dumps([call["address"], begin, seconds, code]) + "\n")
        time.sleep(max(PERIOD_SECONDS - seconds, 0.0))


@dataclass(frozen=True)
class Latencies:
    """What was measured.

    Attributes:
        seconds: Of the calls to a service that was up, in ascending order.
        codes: Errors of the same calls.
        num_refused: Calls that failed since the service was away.
        num_slowed: Calls that were answered, but began before or ended after an outage.
    """

    seconds: Sequence[float]
    codes: Counter[str]
    num_refused: int
    num_slowed: int

    def quantile(self, share: float) -> float:
        """Return a quantile of the seconds; 0 when there are none."""
        return self.seconds[min(int(share * len(self.seconds)), len(self.seconds) - 1)] if self.seconds else 0.0


def read_latencies(path: Path, outages: dict[str, list[tuple[float, float]]]) -> Latencies:
    """Return the measurements in a file, those of outages apart."""
    seconds: list[float] = []
    codes: Counter[str] = Counter()
    refused = slowed = 0
    for line in path.read_text().splitlines():
        address, begin, taken, code = json.loads(line)
        is_away = any(start <= begin + taken and begin <= end for start, end in outages[address])
        if is_away:
            refused, slowed = refused + (code != "OK"), slowed + (code == "OK")
        elif code == "OK":
            seconds.append(taken)
        else:
            codes[code] += 1
    return Latencies(sorted(seconds), codes, refused, slowed)


if __name__ == "__main__":
    main()
