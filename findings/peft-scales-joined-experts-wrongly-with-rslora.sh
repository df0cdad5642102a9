#!/bin/sh
# peft 0.21.2 with transformers 5.23.0: an adapter for Mixtral's single experts (w1, w2, w3), as transformers 4 had them,
# is carried over to the joined experts. One expects the scaling that it was trained with, lora_alpha / sqrt(r) when
# use_rslora is set. But rank and lora_alpha of the joined gate_up_proj are both doubled, which keeps lora_alpha / r
# alone: with use_rslora the experts' update becomes sqrt(2) times too large, without a word.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.13.0 transformers==5.23.0 peft==0.21.2 numpy
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import math
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, MixtralConfig

model = AutoModelForCausalLM.from_config(MixtralConfig(
    vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=4,
    num_key_value_heads=2, num_local_experts=2))
settings = LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=8, use_rslora=True, target_modules=["w1", "w2", "w3"])
experts = get_peft_model(model, settings).base_model.model.model.layers[0].mlp.experts
scaling = {layer.parameter_name: layer.scaling["default"] for layer in (experts, experts.base_layer)}
print("trained with", 8 / math.sqrt(4), "for each of w1, w2 and w3; carried over as", scaling)
changed = not math.isclose(scaling["gate_up_proj"], math.sqrt(2) * 8 / math.sqrt(4)) or scaling["down_proj"] != 4.0
raise SystemExit(changed)
PYTHON
