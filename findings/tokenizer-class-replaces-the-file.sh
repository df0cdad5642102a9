#!/bin/sh
# Package:  transformers 5.23.0 (with tokenizers 0.23.3)
# Expected: a folder with a tokenizer.json is loaded as a tokenizer that gives the ids of this file, as
#           tokenizers.Tokenizer.from_file does.
# Happens:  a class with an __init__ of its own (about fifty have one, GPT2Tokenizer and GPTNeoXTokenizer among them)
#           takes vocabulary and merges from the file and builds normalizer and pre-tokenizer anew; those of the file
#           are dropped without a word. A model whose tokenizer splits digits (SmolLM2, for example) and whose
#           settings name such a class then reads other tokens than it was trained on: "Steps:\n\n1. Open" gives
#           two line ends instead of one double one.
# Exit:     0 while it is so, 1 when the ids agree.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet transformers==5.23.0 tokenizers==0.23.3
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import json
import sys
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import GPT2Tokenizer, GPTNeoXTokenizer, PreTrainedTokenizerFast, Qwen2Tokenizer

alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
tokens = ["<|endoftext|>", *alphabet, "ĊĊ"]
file = Tokenizer(models.BPE(vocab={token: number for number, token in enumerate(tokens)}, merges=[("Ċ", "Ċ")]))
digits = pre_tokenizers.Digits(individual_digits=True)
file.pre_tokenizer = pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])
file.decoder = decoders.ByteLevel()
file.add_special_tokens(["<|endoftext|>"])
text, changed = "Steps:\n\n1. Open", []
print("tokenizer.json          ", file.encode(text).tokens)
for kind in (PreTrainedTokenizerFast, GPT2Tokenizer, Qwen2Tokenizer, GPTNeoXTokenizer):
    folder = Path(sys.argv[1]) / kind.__name__
    folder.mkdir()
    file.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": kind.__name__}))
    loaded = kind.from_pretrained(folder)
    print(f"{kind.__name__:24}", loaded.tokenize(text))
    if loaded.encode(text, add_special_tokens=False) != file.encode(text, add_special_tokens=False).ids:
        changed.append(kind.__name__)
print("other ids than the file:", ", ".join(changed) or "none")
sys.exit("GPT2Tokenizer" not in changed)
PYTHON
