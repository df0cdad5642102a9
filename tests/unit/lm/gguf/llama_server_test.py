"""Imported GGUFs against llama.cpp's real server: the same ids for each rule, the same logits for each scaling."""

import json
import math
import os
import shlex
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from services.lm.conversion.gguf import convert_gguf
from services.lm.loading import load, load_tokenizer
from tests.machine import PATIENCE_SECONDS, free_port
from tests.unit.lm.gguf.models import HEAD, LETTERS, SPECIAL, TOKENS, vocabulary, weights, write
from tests.unit.lm.gguf.vocabulary_test import PIECES, TEXT

pytestmark = [pytest.mark.real_model, pytest.mark.timeout(600)]

_HOW = "LLAMA_SERVER='/path/to/llama-server' pytest tests/unit/lm/gguf/llama_server_test.py"
_SEPARATOR = SPECIAL[0]
TEXTS = [
    *(
        TEXT,
        "it's x = foo(bar)",
        "    42 | def f():\n        return 1234567",
        "Steps:\n\n1. Open\r\n\r\n2.  Close\t\tend  ",
    ),
    *(
        "don't DON'T We'Ve I'LL '\u017f he'd'll 'tis",
        "日本語のテキスト、漢字123かな",
        "emoji 👩\u200d👩\u200d👧 🎉🎉 ok",
        "가나다 한글",
    ),
    *("naïve e\u0301\u0302 ÀÉ İstanbul", "１２３ ٣٤٥ ½ Ⅷ x²", "a\u00a0b\u2003c\u3000d\u0085e\u2028f", "  \n  \n\n   x"),
    *(
        "\t\tif (a<=b && c!=d) {return `x`|~^$;}",
        "price: $5.00 + 10% = €7",
        "العربية، نص۔ हिन्दी। क्षि",
        "x\n\ny\n\n\nz\r\n",
    ),
    *(
        "1 22 333 4444 55555 666666 7777777",
        "\x01\x1c\x1f \u200b\ufeffzero \u00adsoft",
        "𝔘𝔫𝔦 𐐀𐐨 🇩🇪",
        "foo/bar//baz/\n/\n",
    ),
    *(
        "camelCase HTMLParser _under_",
        "...!!! ??? --",
        "   leading",
        "trailing   ",
        "\n",
        "  ",
        " \n x",
        "ǅ ʰ ª",
        "ไทย ລາວ",
    ),
]


@contextmanager
def serving(model: Path, *options: str) -> Iterator[str]:
    place = ("-m", str(model), "-np", "1", "-t", "1", "--no-warmup")
    with serving_command([*place, *options], model.with_suffix(".log")) as url:
        yield url


@contextmanager
def serving_command(options: Sequence[str], log: Path) -> Iterator[str]:
    """Run the server with these options at a free port of loopback, whatever they say of the place."""
    command = os.environ.get("LLAMA_SERVER", "")
    if not command:
        pytest.skip(f"llama.cpp's server is absent: {_HOW}")
    port = free_port()
    place = ("--host", "127.0.0.1", "--port", str(port))
    with log.open("wb") as output:
        process = subprocess.Popen([*shlex.split(command), *options, *place], stdout=output, stderr=output)
    try:
        _wait(process, port, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        assert process.poll() is None, log.read_text(errors="replace")[-500:]
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                return
        except OSError:
            time.sleep(0.05)
    raise AssertionError("the server does not answer")


def ask(url: str, **body: Any) -> Any:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
        return json.load(answer)


@pytest.fixture(scope="module")
def trained() -> tuple[list[str], list[str]]:
    """Tokens and merges that cross every border between words, so that each border shows in the ids."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        TEXTS, trainers.BpeTrainer(vocab_size=1500, min_frequency=1, initial_alphabet=alphabet, show_progress=False)
    )
    merges = [" ".join(pair) for pair in json.loads(tokenizer.to_str())["model"]["merges"]]
    return [*SPECIAL, *dict.fromkeys([*LETTERS, *(merge.replace(" ", "") for merge in merges)])], merges


@pytest.mark.parametrize("pre", [*PIECES, None])
def test_each_rule_gives_the_servers_ids(tmp_path: Path, trained: tuple[list[str], list[str]], pre: str | None) -> None:
    tokens, merges = trained
    facts = vocabulary(pre, tokens, merges) | ({"tokenizer.ggml.pre": None} if pre is None else {})
    file = write(tmp_path / "m.gguf", facts=facts, tensors=weights(tokens=len(tokens)))
    convert_gguf(file, tmp_path / "out")
    loaded = load_tokenizer(tmp_path / "out")
    with serving(file) as url:
        joined = ask(f"{url}/tokenize", content=_SEPARATOR.join(TEXTS))["tokens"]
        begun = ask(f"{url}/tokenize", content="a", add_special=True)["tokens"]
    theirs: list[list[int]] = [[]]
    for index in joined:
        theirs.append([]) if index == 0 else theirs[-1].append(index)
    ours = [loaded.encode(text, add_special_tokens=False) for text in TEXTS]
    assert dict(zip(TEXTS, ours, strict=True)) == dict(zip(TEXTS, theirs, strict=True))
    assert loaded.encode("a") == begun
    assert len({tuple(ids) for ids in ours}) == len(TEXTS)


def llama_3_table() -> np.ndarray:
    waves = 2 * math.pi * 10000.0 ** (np.arange(0, HEAD, 2) / HEAD)
    smooth = np.clip((8192 / waves - 1) / 3, 0, 1)
    return (1 / ((1 - smooth) / 8 + smooth)).astype(np.float32)


YARN = {"llama.rope.scaling.type": "yarn", "llama.rope.scaling.factor": 4.0}
SCALINGS: dict[str, tuple[dict[str, Any], dict[str, np.ndarray]]] = {
    "none": ({}, {}),
    "the older name": ({"llama.rope.scale_linear": 2.0}, {}),
    "a factor without a type": ({"llama.rope.scaling.factor": 4.0}, {}),
    "no scaling by name": ({"llama.rope.scaling.type": "none", "llama.rope.scaling.factor": 4.0}, {}),
    "yarn": (YARN | {"llama.rope.scaling.original_context_length": 64}, {}),
    "yarn and attention": (YARN | {"llama.rope.scaling.attn_factor": 1.3}, {}),
    "llama 3": ({"llama.context_length": 16384}, {"rope_freqs.weight": llama_3_table()}),
}


@pytest.mark.parametrize("case", SCALINGS)
def test_each_scaling_of_positions_gives_the_servers_numbers(tmp_path: Path, case: str) -> None:
    facts, table = SCALINGS[case]
    noise = np.random.default_rng(0)
    tensors = {
        name: (noise.standard_normal(values.shape) * 0.3).astype(np.float32) if values.ndim == 2 else values
        for name, values in weights().items()
    }
    # A letter that is always next, since the server withholds numbers for half a character.
    tensors["output.weight"][TOKENS.index("Z")] = 0
    file = write(tmp_path / "m.gguf", facts=facts, tensors=tensors | table)
    convert_gguf(file, tmp_path / "out")
    model = load(tmp_path / "out", dtype="float32").model
    prompt = [(7 * index * index) % 250 + 3 for index in range(200)]
    with torch.no_grad():
        ours = model(input_ids=torch.tensor([prompt])).logits[0, -1].log_softmax(-1)
    options = ("-c", "256", "-fa", "off", "-ctk", "f32", "-ctv", "f32")
    with serving(file, *options) as url:
        # The bias makes it choose the letter, and changes none of the numbers.
        answer = ask(
            f"{url}/completion",
            prompt=prompt,
            n_predict=1,
            n_probs=len(TOKENS),
            temperature=0,
            cache_prompt=False,
            logit_bias=[[TOKENS.index("Z"), 1000]],
        )
    numbers = {entry["id"]: entry["logprob"] for entry in answer["completion_probabilities"][0]["top_logprobs"]}
    assert len(numbers) == len(TOKENS)
    assert max(abs(ours[index].item() - number) for index, number in numbers.items()) < 1e-3
