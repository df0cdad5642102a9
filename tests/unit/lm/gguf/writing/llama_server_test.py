"""What is written as GGUF, served by llama.cpp: float32 answers as we do, with an adapter too; others answer."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from services.lm.conversion.gguf import convert_gguf
from services.lm.conversion.writing.export import ADAPTER_FILE, MODEL_FILE, export_gguf, export_gguf_adapter
from services.lm.generation.engine import Engine
from services.lm.generation.requests import GenerationRequest
from services.lm.loading import load, prepare_process
from services.lm.tiny import write_tiny_model
from tests.unit.lm.gguf.llama_server_test import ask, serving
from tests.unit.lm.gguf.writing.export_test import write_adapter
from tests.unit.lm.real_model_test import weights

pytestmark = [pytest.mark.real_model, pytest.mark.timeout(600)]

NEW_TOKENS = 4
PROMPTS = (
    *(f"The capital of {subject} is" for subject in ("France", "Peru", "Chad", "Japan", "Kenya", "Cuba")),
    *(
        "A river is",
        "def add_1(x):",
        "Once upon a time",
        "1 2 3 4",
        "<read_file>",
        "SELECT name FROM",
        '{"path": "src/',
        "for i in range(",
        "Dear Sir or Madam,",
        "The opposite of hot is",
        "import numpy as",
        "<html><body>",
        "Two plus two is",
        "To be or not to",
    ),
)
QUESTION = [{"role": "user", "content": "What is the capital of France?"}]


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
    prompts = [loaded.tokenizer.encode(text) for text in PROMPTS]
    requests = [GenerationRequest(text, ids, NEW_TOKENS) for text, ids in zip(PROMPTS, prompts, strict=True)]
    ours = {answer.key: list(answer.token_ids) for answer in Engine(loaded).generate(requests)}
    theirs = {}
    with serving(written("F32"), "-c", "512", "-fa", "off", "-ctk", "f32", "-ctv", "f32") as url:
        for text, ids in zip(PROMPTS, prompts, strict=True):
            answer = ask(f"{url}/completion", prompt=ids, n_predict=NEW_TOKENS, temperature=0, return_tokens=True)
            theirs[text] = answer["tokens"]
        chat = ask(f"{url}/v1/chat/completions", messages=QUESTION, max_tokens=8, temperature=0)
    # The server leaves out the token that ends an answer.
    ended = {text: [token for token in tokens if token not in loaded.eos_ids] for text, tokens in ours.items()}
    assert ended == theirs
    assert len({tuple(tokens) for tokens in theirs.values()}) > len(PROMPTS) / 2
    # By the chat template in the file.
    assert "Paris" in chat["choices"][0]["message"]["content"]


@pytest.mark.parametrize("number_type", ["Q8_0", "Q4_K_M"])
def test_quantised_forms_load_and_answer(written: Callable[[str], Path], number_type: str) -> None:
    with serving(written(number_type), "-c", "512") as url:
        answer = ask(f"{url}/completion", prompt=PROMPTS[0], n_predict=6, temperature=0)
    assert "Paris" in answer["content"]


def test_an_adapter_file_is_applied_as_we_apply_it(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "base")
    # So strong that it changes what is likeliest.
    settings = {"use_rslora": True, "rank_pattern": {"q_proj": 2}, "lora_alpha": 200}
    adapter = write_adapter(tmp_path / "base", tmp_path / "adapter", **settings)
    export_gguf(tmp_path / "base", tmp_path / "model", "F32")
    export_gguf_adapter(tmp_path / "base", adapter, tmp_path / "lora")
    prompt = [(7 * index * index) % 250 + 3 for index in range(40)]
    answers = []
    for folder, options in ((None, ()), (adapter, ("--lora", str(tmp_path / "lora" / ADAPTER_FILE)))):
        loaded = load(tmp_path / "base", dtype="float32", adapter=folder)
        (ours,) = Engine(loaded).generate([GenerationRequest("key", prompt, NEW_TOKENS)])
        place = ("-c", "256", "-fa", "off", "-ctk", "f32", "-ctv", "f32")
        with serving(tmp_path / "model" / MODEL_FILE, *place, *options) as url:
            theirs = ask(f"{url}/completion", prompt=prompt, n_predict=NEW_TOKENS, temperature=0, return_tokens=True)
        assert [token for token in ours.token_ids if token not in loaded.eos_ids] == theirs["tokens"]
        answers.append(theirs["tokens"])
    assert answers[0] != answers[1]
