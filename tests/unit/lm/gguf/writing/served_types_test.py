"""Every number type that is written is read by llama.cpp's real server as our own importer reads it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from gguf import GGUFReader

from services.lm.conversion.gguf import convert_gguf
from services.lm.conversion.writing.export import MODEL_FILE, export_gguf
from services.lm.conversion.writing.number_types import NUMBER_TYPES
from services.lm.loading import load
from tests.unit.lm.gguf.folders import SIZES, write_folder
from tests.unit.lm.gguf.llama_server_test import ask, serving

pytestmark = [pytest.mark.real_model, pytest.mark.timeout(600)]

# Mean difference of a token's log-probability, by how far apart those of a prompt are. Against quantised weights
# llama.cpp multiplies activations of 8 bits, and of bfloat16 against bfloat16; read wrongly, they differ by about 1.
TOLERANCES = {"F32": 1e-4, "F16": 0.01, "BF16": 0.05}
ROUNDED = 0.15
PROMPTS = [[(7 * index * index + seed) % 250 + 3 for index in range(24)] for seed in range(3)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("types") / "model"
    write_folder(folder, "llama", hidden_size=256, intermediate_size=256, tie_word_embeddings=False)
    return folder


def ours(folder: Path) -> np.ndarray:
    loaded = load(folder, dtype="float32")
    with torch.no_grad():
        logits = loaded.model(input_ids=torch.tensor(PROMPTS)).logits[:, -1]
    return np.asarray(torch.log_softmax(logits, -1))


def theirs(file: Path) -> np.ndarray:
    found = np.full((len(PROMPTS), SIZES["vocab_size"]), -np.inf)
    with serving(file, "-c", "64", "-fa", "off", "-ctk", "f32", "-ctv", "f32") as url:
        for place, prompt in enumerate(PROMPTS):
            answer = ask(f"{url}/completion", prompt=prompt, n_predict=1, temperature=0, n_probs=SIZES["vocab_size"])
            (token,) = answer["completion_probabilities"]
            for entry in token["top_logprobs"]:
                found[place, entry["id"]] = entry["logprob"]
    return found


@pytest.mark.parametrize("number_type", NUMBER_TYPES)
def test_llama_cpp_reads_the_numbers_as_we_do(folder: Path, tmp_path: Path, number_type: str) -> None:
    export_gguf(folder, tmp_path / "form", number_type)
    file = tmp_path / "form" / MODEL_FILE
    convert_gguf(file, tmp_path / "again")
    kinds = {tensor.name: tensor.tensor_type for tensor in GGUFReader(file).tensors}
    assert kinds["blk.0.attn_q.weight"] == NUMBER_TYPES[number_type].usual
    by_us, by_them = ours(tmp_path / "again"), theirs(file)
    assert np.isfinite(by_them).all()
    spread = np.abs(by_us - by_us.mean()).mean()
    assert np.abs(by_us - by_them).mean() < TOLERANCES.get(number_type, ROUNDED) * spread
