"""A generation worker without torch: it answers a case rightly, or not, as its key alone decides."""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from pathlib import Path

from services.lm import worker_protocol as protocol
from services.protocols.profile import get_profile
from tests.fakes.generation_worker import ready, say

ANSWER_SECONDS = 0.02
BASE_SHARE, ADAPTER_SHARE = 0.3, 0.9
PROSE = "Sure! Open the project folder and look for the file."


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--adapter", type=Path)
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    profile = get_profile("roo_xml")
    right = {case.case_id: profile.reference_answer(case) for case in profile.suites()[0].cases}
    say(ready(arguments.dtype, arguments.threads, arguments.adapter, "cpu"))
    share = ADAPTER_SHARE if arguments.adapter else BASE_SHARE
    for line in sys.stdin.buffer:
        request = protocol.decode_request(line)
        if isinstance(request, protocol.Generate):
            answer(request, right, share)
        elif isinstance(request, protocol.Cancel):
            say(protocol.Done(request.id, 1, 0.1, cancelled=True))


def answer(request: protocol.Generate, right: dict[str, str], share: float) -> None:
    for prompt in request.prompts:
        time.sleep(ANSWER_SECONDS)
        digest = hashlib.sha256(f"{prompt.key}/{prompt.seed}".encode()).digest()
        is_right = digest[0] < 256 * share
        text = right.get(prompt.key.partition("#")[0], PROSE) if is_right else f"{PROSE} {digest.hex()[:8]}"
        ids = tuple(map(ord, text[::4]))
        say(protocol.Answer(request.id, prompt.key, text, ids, "stop", 10, 8, 0.1, 0.2, queue_seconds=0.0))
    say(protocol.Done(request.id, sum(len(prompt.key) for prompt in request.prompts), 0.1))


if __name__ == "__main__":
    main()
