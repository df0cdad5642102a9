"""A made-up model: it obeys single words, and answers a suite's cases rightly as often as it is told to."""

import asyncio
import json
import random
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing

from services.chassis.errors import Unimplemented
from services.lm.doctor.diagnosis import Diagnosis
from services.protocols.profile import get_profile
from services.test_runner.domain.generation import TokenLogProb
from services.test_runner.domain.test_run import Environment, TestRunPhase
from services.test_runner.domain.transcript import FinishReason
from services.test_runner.ports.generation import (
    Activity,
    Answer,
    Delta,
    GenerationEvent,
    Prepared,
    Prompt,
    Rendered,
    Workload,
)
from services.test_runner.ports.registry import ResolvedModel

HELLO = "Hello there, this is the made-up model."
WEATHER = {"name": "get_weather", "arguments": {"city": "Oslo"}}
CALL = f"Let me look.\n<tool_call>\n{json.dumps(WEATHER)}\n</tool_call>"
ANSWERS = {
    "call": CALL,
    "bare": json.dumps(WEATHER),
    "fenced": f"```json\n{json.dumps(WEATHER)}\n```",
    "not a call": "a < b, and <tool_box> is no call",
    "two": f"{CALL}\n{CALL.partition(chr(10))[2]}",
}
OVERFLOW = "The prompt has 9000 tokens and the answer may have 1000; the model's context is 8192."
PROSE = ("Sure! Open the project folder and look for the file.", "The user wants me to help with this task.")
PROFILE = get_profile("roo_xml")
CASES = {case.case_id: (place, case) for place, case in enumerate(PROFILE.suites()[0].cases)}
# The case at which a run of the suite stands still.
HELD_AT = 78


def tokens_of(text: str) -> list[str]:
    """Cut a text into words, each with the blank before it."""
    return re.findall(r"\s*\w+|\s*[^\w\s]|\s+", text)


def log_prob(token: str) -> float:
    """Return a number that depends on the token alone: words of one vowel are likely."""
    return -0.5 - len(set(token) & set("aeiou"))


class MadeUpModel:
    """A backend and renderer of the test runner.

    Attributes:
        holds: Whether runs of the suite stand still before they end.
        base_share: Share of the cases that it answers rightly without an adapter.
        adapter_share: The same with one.
    """

    def __init__(self) -> None:
        self.holds, self.base_share, self.adapter_share = False, 0.0, 0.8
        self.generations: list[Workload] = []
        self.num_broken_off = 0

    async def examine(self, _model_uri: str, _request: object) -> Diagnosis:
        return Diagnosis((), ("template",))

    async def generate(self, workload: Workload) -> AsyncGenerator[GenerationEvent]:
        yield Activity(TestRunPhase.LOAD_MODEL)
        yield Prepared(Environment("float32", 2, "sha256:template", {"torch": "2.13.0"}))
        if workload.prompts[0].key == "generate":
            async with aclosing(self._written(workload)) as events:
                async for event in events:
                    yield event
            return
        share = self.adapter_share if workload.adapter else self.base_share
        for prompt in workload.prompts:
            while self.holds and CASES.get(prompt.key.partition("#")[0], (0,))[0] >= HELD_AT:
                await asyncio.sleep(0.05)
            text = _answer_to_case(prompt.key, share)
            ids = tuple(map(ord, text[::4]))
            yield Answer(prompt.key, text, FinishReason.STOP, ids, 760, 640, 0.4, len(text) / 200)

    async def render(self, model: ResolvedModel, prompt: Prompt) -> Rendered:
        text = "".join(f"<|im_start|>{message.role}\n{message.content}<|im_end|>\n" for message in prompt.messages)
        tokens = tokens_of(text)
        return Rendered(text, tuple(range(len(tokens))), tuple(tokens))

    async def close(self) -> None:
        """Keep nothing."""

    async def _written(self, workload: Workload) -> AsyncGenerator[GenerationEvent]:
        self.generations.append(workload)
        is_over = False
        try:
            prompt = workload.prompts[0]
            asked = prompt.text or " ".join(f"t{token_id}" for token_id in prompt.token_ids)
            async with aclosing(_words(asked or prompt.messages[-1].content, workload)) as events:
                async for event in events:
                    yield event
            is_over = True
        finally:
            self.num_broken_off += not is_over


async def _words(asked: str, workload: Workload) -> AsyncGenerator[GenerationEvent]:
    if asked == "overflow":
        yield Answer("generate", "", FinishReason.CONTEXT_OVERFLOW, detail=OVERFLOW)
        return
    if asked == "unbuilt":
        raise Unimplemented("Generation is not built.", "Wait.")
    whole = [f" {place}" for place in range(10**6)] if asked == "forever" else tokens_of(ANSWERS.get(asked, HELLO))
    shown = whole[: workload.sampling.max_new_tokens]
    for token in shown if workload.stream else ():
        await asyncio.sleep(0.01 * (asked in ("forever", "fault")))
        yield Delta("generate", token, _log_probs([token], workload))
    reason = FinishReason.LENGTH if len(shown) < len(whole) else FinishReason.STOP
    if asked == "fault":
        yield Answer("generate", "", FinishReason.BACKEND_FAULT, detail="The worker died.")
        return
    yield Answer(
        "generate",
        "".join(shown),
        reason,
        tuple(range(len(shown))),
        num_prompt_tokens=len(tokens_of(asked)),
        num_cached_tokens=1,
        num_generated_tokens=len(shown),
        tokens=_log_probs(shown, workload),
        prompt_tokens=_log_probs(tokens_of(asked), workload, begins=True) if workload.echo else (),
    )


def _log_probs(tokens: list[str], workload: Workload, *, begins: bool = False) -> tuple[TokenLogProb, ...]:
    if not workload.log_probs and not begins:
        return ()
    values = [None if begins and not place else log_prob(token) for place, token in enumerate(tokens)]
    tops = [((token, log_prob(token)), (" x", -9)) for token in tokens]
    return tuple(TokenLogProb(token, 7, value, top) for token, value, top in zip(tokens, values, tops, strict=True))


def _answer_to_case(key: str, share: float) -> str:
    chance, (_, case) = random.Random(key), CASES.get(key.partition("#")[0], (0, None))
    if case is None or not share:
        return chance.choice(PROSE)
    right = PROFILE.reference_answer(case)
    if chance.random() < share:
        return right
    return chance.choice((right.replace("</", "<", 1), f"{right}\nDone! Let me know.", f"{right}\n{right}"))
