#!/bin/sh
# Package:  transformers 5.23.0 (with gguf 0.19.0 and torch 2.13.0)
# Expected: from_pretrained(folder, gguf_file="m-00001-of-00002.gguf") of a model that is split over two files reads both,
#           or says that the file is part 1 of 2 (its metadata have split.no, split.count and split.tensors.count).
# Happens:  the first part is loaded as a whole model. What the second part holds (here the output head) is not missed:
#           no key is reported as missing, the embedding becomes the head, and the model writes other words.
# Exit:     0 while it is so, 1 when the first part gives the model's own answer or is refused.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet transformers==5.23.0 gguf==0.19.0 torch==2.13.0 accelerate==1.15.0
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys

import gguf
import numpy as np
import torch
from transformers import AutoModelForCausalLM

folder, size, tokens = sys.argv[1], 32, 40


def write(name: str, **split: int) -> None:
    """A llama of one layer that adds nothing; its head wants token 7, its embedding as a head would want token 3."""
    writer = gguf.GGUFWriter(f"{folder}/{name}", "llama", **split)
    writer.add_block_count(1)
    writer.add_context_length(64)
    writer.add_embedding_length(size)
    writer.add_feed_forward_length(size)
    writer.add_head_count(2)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(tokens)
    embedding, head = np.ones((tokens, size), np.float32), np.zeros((tokens, size), np.float32)
    embedding[3], head[7] = 2, 1
    writer.add_tensor("token_embd.weight", embedding)
    for part in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"):
        writer.add_tensor(f"blk.0.{part}.weight", np.zeros((size, size), np.float32))
    for norm in ("blk.0.attn_norm.weight", "blk.0.ffn_norm.weight", "output_norm.weight"):
        writer.add_tensor(norm, np.ones(size, np.float32))
    writer.add_tensor("output.weight", head)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def answer(name: str) -> int | str:
    try:
        model, report = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, output_loading_info=True)
    except (OSError, ValueError, KeyError) as error:
        return f"refused: {error}"
    with torch.no_grad():
        written = int(model(input_ids=torch.tensor([[1, 2]])).logits[0, -1].argmax())
    print(f"{name}: writes token {written}, tied {model.config.tie_word_embeddings}, missing {report['missing_keys']}")
    return written


write("m.gguf")
write("m-split.gguf", split_max_tensors=11)
whole, part = answer("m.gguf"), answer("m-split-00001-of-00002.gguf")
print("whole:", whole, "first part:", part)
sys.exit(not (whole == 7 and part == 3))
PYTHON
