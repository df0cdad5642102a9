"""A generation worker without torch: it answers a case rightly, or not, as its key alone decides."""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
import zlib
from dataclasses import replace
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
        elif isinstance(request, protocol.Preview):
            say(show(request))
        elif isinstance(request, protocol.Cancel):
            say(protocol.Done(request.id, 1, 0.1, cancelled=True))


def show(request: protocol.Preview) -> protocol.Previewed:
    """Return a rendering in which each word is a token; of an answered one the last message is the answer."""
    texts = [str(message["content"]) for message in request.messages] or [request.text]
    words = [text.split() for text in texts]
    ids = [tuple(zlib.crc32(word.encode()) >> 1 for word in each) for each in words]
    num_prompt = sum(map(len, ids[:-1] if request.answered else ids))
    tokens = tuple(word for each in words for word in each)
    return protocol.Previewed(request.id, "\n".join(texts), sum(ids, ()), tokens, num_prompt)


def answer(request: protocol.Generate, right: dict[str, str], share: float) -> None:
    for prompt in request.prompts:
        time.sleep(ANSWER_SECONDS)
        if request.echo:
            say(score(request.id, prompt))
            continue
        digest = hashlib.sha256(f"{prompt.key}/{prompt.seed}".encode()).digest()
        is_right = digest[0] < 256 * share
        text = right.get(prompt.key.partition("#")[0], PROSE) if is_right else f"{PROSE} {digest.hex()[:8]}"
        ids = tuple(map(ord, text[::4]))
        say(protocol.Answer(request.id, prompt.key, text, ids, "stop", 10, 8, 0.1, 0.2, queue_seconds=0.0))
    say(protocol.Done(request.id, sum(len(prompt.key) for prompt in request.prompts), 0.1))


def score(request_id: int, prompt: protocol.Prompt) -> protocol.Answer:
    """Return how likely the prompt's tokens are: by nothing but themselves."""
    log_probs = tuple(-(number % 100) / 50 for number in prompt.token_ids)
    said = protocol.Answer(request_id, prompt.key, "", (), "length", len(log_probs), 0, 0.1, 0.0)
    return replace(
        said,
        prompt_log_probs=(None, *log_probs[1:]),
        prompt_token_ids=prompt.token_ids,
        prompt_tokens_text=tuple(map(str, prompt.token_ids)),
    )


if __name__ == "__main__":
    main()
