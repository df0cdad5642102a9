"""SmolLM2-135M-Instruct written as GGUF and served by llama.cpp: float32 answers as we do, quantised forms answer."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from services.lm.chat import encode_prompt
from services.lm.conversion.gguf import convert_gguf
from services.lm.conversion.writing.export import MODEL_FILE, export_gguf
from services.lm.generation.engine import Engine
from services.lm.generation.requests import GenerationRequest
from services.lm.loading import load, prepare_process
from tests.unit.lm.gguf.llama_server_test import ask, serving
from tests.unit.lm.real_model_test import weights

pytestmark = [pytest.mark.real_model, pytest.mark.timeout(600)]

NEW_TOKENS = 6
SUBJECTS = ("France", "Japan", "Peru", "Kenya", "Norway", "India", "Cuba", "Chad", "Nepal", "Iraq")
PROMPTS = (
    *(f"What is the capital of {subject}?" for subject in SUBJECTS),
    *(f"Write one line of Python that prints {number}." for number in range(5)),
    *("Name a colour.", "Count to five.", "Translate 'dog' to French.", "Write <read_file>.", "Say nothing."),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("smollm") / "model"
    convert_gguf(weights(), folder)
    return folder


@pytest.fixture(scope="module")
def written(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    @cache
    def write(number_type: str) -> Path:
        out = tmp_path_factory.mktemp("gguf") / number_type
        export_gguf(folder, out, number_type)
        return out / MODEL_FILE

    return write


def test_float32_answers_equal_ours_token_for_token(folder: Path, written: Callable[[str], Path]) -> None:
    prepare_process()
    loaded = load(folder, dtype="float32")
    prompts = [encode_prompt(loaded.tokenizer, [{"role": "user", "content": text}]) for text in PROMPTS]
    requests = [GenerationRequest(text, ids, NEW_TOKENS) for text, ids in zip(PROMPTS, prompts, strict=True)]
    ours = {answer.key: list(answer.token_ids) for answer in Engine(loaded).generate(requests)}
    theirs = {}
    with serving(written("F32"), "-c", "512", "-fa", "off", "-ctk", "f32", "-ctv", "f32") as url:
        for text, ids in zip(PROMPTS, prompts, strict=True):
            answer = ask(f"{url}/completion", prompt=ids, n_predict=NEW_TOKENS, temperature=0, return_tokens=True)
            theirs[text] = answer["tokens"]
        chat = ask(f"{url}/v1/chat/completions", messages=[{"role": "user", "content": PROMPTS[0]}], max_tokens=12)
    # The server leaves out the token that ends an answer.
    ended = {text: [token for token in tokens if token not in loaded.eos_ids] for text, tokens in ours.items()}
    assert ended == theirs
    assert len({tuple(tokens) for tokens in theirs.values()}) > len(PROMPTS) / 2
    # By the chat template in the file.
    assert "Paris" in chat["choices"][0]["message"]["content"]


@pytest.mark.parametrize("number_type", ["Q8_0", "Q4_K_M"])
def test_quantised_forms_load_and_answer(written: Callable[[str], Path], number_type: str) -> None:
    with serving(written(number_type), "-c", "512") as url:
        messages = [{"role": "user", "content": PROMPTS[0]}]
        answer = ask(f"{url}/v1/chat/completions", messages=messages, max_tokens=12, temperature=0)
    assert "Paris" in answer["choices"][0]["message"]["content"]
