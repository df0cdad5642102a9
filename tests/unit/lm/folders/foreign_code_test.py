"""Private keys that transformers writes pass; keys that could run code do not, wherever they stand."""

import json
from typing import Any

import pytest
from transformers import AddedToken, BambaConfig, FalconH1Config, Gemma3Config, Gemma3TextConfig, OPTConfig

from services.lm.errors import InvalidModelFile
from services.lm.folders import check_no_remote_code


@pytest.mark.parametrize("kind", [Gemma3Config, Gemma3TextConfig, FalconH1Config, BambaConfig, OPTConfig])
def test_configurations_that_transformers_writes_pass(kind: Any) -> None:
    for uses_diff in (True, False):
        written = json.loads(kind().to_json_string(use_diff=uses_diff))
        check_no_remote_code(written, "config.json")
        check_no_remote_code({"text_config": written}, "config.json")


@pytest.mark.parametrize(
    "settings",
    [
        {"_sliding_window_pattern": 6, "time_step_limit": [0.0, {"__float__": "Infinity"}]},
        {"_remove_final_layer_norm": True, "_pad_token_id": 3, "_frame_rate": None},
        {"_attn_implementation_autoset": True, "_attn_implementation": "sdpa", "use_mamba_kernels": True},
        {"auto_map": None, "trust_remote_code": False, "custom_pipelines": {}, "use_kernels": False},
        {"cache_implementation": "static", "conv_kernel": [10, 3], "chunkwise_kernel": "chunkwise--native_autograd"},
        {"mask_token": {"__type": "AddedToken", **AddedToken("<m>").__getstate__()}, "_processor_class": "X"},
    ],
)
def test_private_keys_that_run_nothing_pass(settings: dict[str, Any]) -> None:
    check_no_remote_code(settings, "config.json")


@pytest.mark.parametrize(
    "settings",
    [
        {"auto_map": {"AutoModel": "evil.Model"}},
        {"_auto_map": {"AutoModel": "evil.Model"}},
        {"text_config": {"layers": [{"Trust_Remote_Code": True}]}},
        {"_attn_implementation": "someone/kernel"},
        {"attn_implementation": {"text_config": "someone/kernel@main:fn"}},
        {"_attn_implementation_internal": "paged|someone/kernel"},
        {"_experts_implementation": "someone/kernel"},
        {"attn_config": {"attn_impl": "someone/kernel"}},
        {"use_kernels": True},
        {"kernel_config": {"RMSNorm": "someone/kernel:RMSNorm"}},
        {"custom_generate": "someone/repo"},
        {"custom_pipelines": {"x": {"impl": "evil.Pipe"}}},
        {"model": {"_target_": "os.system", "command": "id"}},
        {"py/object": "os.system"},
        {"__reduce__": ["os.system", "id"]},
    ],
)
def test_keys_that_could_run_code_are_refused_at_any_depth(settings: dict[str, Any]) -> None:
    for value in (settings, {"a": [[settings]]}):
        with pytest.raises(InvalidModelFile, match="foreign code"):
            check_no_remote_code(value, "config.json")
