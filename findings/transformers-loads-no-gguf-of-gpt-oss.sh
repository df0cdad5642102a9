#!/bin/sh
# Package:  transformers 5.23.0 (with gguf 0.19.0 and torch 2.13.0)
# Expected: AutoConfig.from_pretrained(folder, gguf_file="m.gguf") reads a GGUF of gpt-oss, which is among
#           GGUF_SUPPORTED_ARCHITECTURES. Its files say how positions are scaled (gpt-oss.rope.scaling.type, .factor and
#           .original_context_length), as llama.cpp reads them.
# Happens:  TypeError "only 0-dimensional arrays can be converted to Python scalars": of each of these keys the first part
#           of the field is taken, which is not its value. Without them the config is read, and has no head size.
# Exit:     0 while it is so, 1 when the config has the factor that the file says.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet transformers==5.23.0 gguf==0.19.0 torch==2.13.0 accelerate==1.15.0
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys

import gguf
import numpy as np
from transformers import AutoConfig

folder = sys.argv[1]
writer = gguf.GGUFWriter(f"{folder}/m.gguf", "gpt-oss")
writer.add_block_count(1)
writer.add_context_length(256)
writer.add_embedding_length(64)
writer.add_feed_forward_length(96)
writer.add_head_count(4)
writer.add_head_count_kv(2)
writer.add_key_length(16)
writer.add_value_length(16)
writer.add_layer_norm_rms_eps(1e-5)
writer.add_expert_count(4)
writer.add_expert_used_count(2)
writer.add_sliding_window(128)
writer.add_rope_freq_base(150000.0)
writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
writer.add_rope_scaling_factor(32.0)
writer.add_rope_scaling_orig_ctx_len(4096)
writer.add_vocab_size(40)
writer.add_tensor("token_embd.weight", np.ones((40, 64), np.float32))
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
try:
    config = AutoConfig.from_pretrained(folder, gguf_file="m.gguf")
except TypeError as error:
    print("TypeError:", error)
    sys.exit(0)
print("factor", config.rope_parameters.get("factor"), "head_dim", config.head_dim)
sys.exit(config.rope_parameters.get("factor") == 32.0)
PYTHON
