"""transformers' `generate` and lm-eval's HF backend, as a process of the peers' environment.

Reads one JSON object per line, writes one per line; nothing of this project is imported.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

import torch


def main() -> None:
    """Serve `{"model", "dtype", "threads"}` and then any number of runs, until input ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    start = json.loads(sys.stdin.readline())
    torch.set_num_threads(start["threads"])
    side = {"hf_generate": HfGenerate, "lm_eval": LmEval}[start["side"]](start)
    for line in sys.stdin:
        request = json.loads(line)
        begin = time.perf_counter()
        result = side.run(request)
        answers.write(json.dumps({"seconds": time.perf_counter() - begin, "answers": result}) + "\n")


class HfGenerate:
    """Left-padded batches in the order of length, greedy."""

    def __init__(self, start: dict[str, Any]) -> None:
        from transformers import AutoModelForCausalLM

        dtype = getattr(torch, start["dtype"])
        self._model = AutoModelForCausalLM.from_pretrained(start["model"], dtype=dtype).eval()

    def run(self, request: dict[str, Any]) -> list[list[int]]:
        """The answers' token ids."""
        prompts, batch = request["ids"], request["batch"]
        order = sorted(range(len(prompts)), key=lambda index: -len(prompts[index]))
        answers: list[list[int]] = [[]] * len(prompts)
        for first in range(0, len(order), batch):
            some = order[first : first + batch]
            for index, answer in zip(some, self._answer([prompts[i] for i in some], request["new"]), strict=True):
                answers[index] = answer
        return answers

    def _answer(self, prompts: list[list[int]], count: int) -> list[list[int]]:
        longest = max(map(len, prompts))
        pad = self._model.generation_config.pad_token_id or 0
        ids = torch.tensor([[pad] * (longest - len(prompt)) + prompt for prompt in prompts])
        mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
        with torch.no_grad():
            out = self._model.generate(
                ids, attention_mask=mask, max_new_tokens=count, do_sample=False, pad_token_id=pad
            )
        answers: list[list[int]] = out[:, longest:].tolist()
        return answers


class LmEval:
    """`generate_until` of lm-eval's HF backend."""

    def __init__(self, start: dict[str, Any]) -> None:
        from lm_eval.models.huggingface import HFLM

        self._make = lambda batch: HFLM(
            pretrained=start["model"], dtype=start["dtype"], device="cpu", batch_size=batch, add_bos_token=False
        )
        self._models: dict[int, Any] = {}

    def run(self, request: dict[str, Any]) -> list[list[int]]:
        """The answers' token ids, from their text."""
        from lm_eval.api.instance import Instance

        batch = request["batch"]
        if batch not in self._models:
            self._models = {batch: self._make(batch)}
        model = self._models[batch]
        settings = {"until": request["until"], "max_gen_toks": request["new"], "do_sample": False}
        asked = [
            Instance(request_type="generate_until", doc={}, arguments=(text, dict(settings)), idx=index)
            for index, text in enumerate(request["texts"])
        ]
        return [model.tokenizer.encode(text, add_special_tokens=False) for text in model.generate_until(asked)]


if __name__ == "__main__":
    main()
