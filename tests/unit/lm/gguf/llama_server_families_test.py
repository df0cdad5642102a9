"""llama.cpp's real server on the file that is written of each family: our greedy tokens and our ids."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import pytest
import torch

from services.lm.conversion.families import plan_gguf
from services.lm.decoder.whole import computed_whole
from services.lm.loading import load
from tests.unit.lm.gguf.families_test import MODELS
from tests.unit.lm.gguf.folders import SCORED, write_folder, write_plan, write_sentencepiece
from tests.unit.lm.gguf.llama_server_test import ask, serving

pytestmark = [pytest.mark.real_model, pytest.mark.timeout(600)]

# One family each, and what is scaled or has a window.
CASES = ["llama, untied, with biases", "llama 3", "qwen2", "qwen3, yarn", "mistral", "gemma2", "gemma3", "phi3, long"]
CASES += ["smollm3", "olmo", "olmo2, tied", "olmo3", "gemma", "granite", "starcoder2", "stablelm", "nemotron"]
CASES += ["gpt2", "bloom", "falcon", "falcon 2", "lfm2", "qwen2_moe", "qwen3_moe", "minimax_m2", "mamba"]
SCORED_CASES = ("mistral", "gemma2", "gemma3", "phi3, long")
PROMPT = [(7 * index * index) % 250 + 3 for index in range(40)]
TEXTS = ["the theme  of\n\nit's 123 漢字", "<s>the end</s> the"]
NEW = 12
# No answer ends before it has all its tokens.
ENDS = [0, 2, 4]


@pytest.mark.parametrize("case", CASES)
def test_the_server_writes_our_greedy_tokens(tmp_path: Path, case: str) -> None:
    model_type, settings = deepcopy(MODELS[case])
    is_scored = case in SCORED_CASES
    write_folder(tmp_path / "folder", model_type, **settings | ({"vocab_size": SCORED} if is_scored else {}))
    if is_scored:
        write_sentencepiece(tmp_path / "folder", "never" if "gemma" in case else "always", strips="phi" in case)
    file = write_plan(plan_gguf(tmp_path / "folder"), tmp_path / "folder/model.safetensors", tmp_path / "m.gguf")
    loaded = load(tmp_path / "folder", dtype="float32")
    ids = list(PROMPT)
    with torch.no_grad(), computed_whole(loaded.model):
        for _ in range(NEW):
            logits = loaded.model(input_ids=torch.tensor([ids])).logits[0, -1]
            logits[ENDS] = -torch.inf
            ids.append(int(logits.argmax()))
    ours = [loaded.tokenizer.encode(text, add_special_tokens=False) for text in TEXTS]
    with serving(file, "-c", "256", "-fa", "off", "-ctk", "f32", "-ctv", "f32") as url:
        request = {"prompt": PROMPT, "n_predict": NEW, "temperature": 0, "return_tokens": True}
        answer = ask(f"{url}/completion", **request, logit_bias=[[index, False] for index in ENDS])
        theirs = [ask(f"{url}/tokenize", content=text)["tokens"] for text in TEXTS]
    assert theirs == ours
    assert answer["tokens"] == ids[len(PROMPT) :]
