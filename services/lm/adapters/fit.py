"""Checks whether an adapter is one for a model: `python -m services.lm.adapters.fit MODEL ADAPTER`, both folders.

The model is built without memory for its weights, so that only names and shapes count. Prints one line of JSON: `ok`,
or `problem`, which names tensors, and `next_step`.
"""

import json
import sys
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from services.lm.adapters.lora import check_adapter
from services.lm.errors import LmError


def main(arguments: list[str]) -> int:
    """Print whether it fits."""
    model, adapter = map(Path, arguments)
    try:
        config = AutoConfig.from_pretrained(model, local_files_only=True, trust_remote_code=False)
        with torch.device("meta"):
            empty = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
        check_adapter(empty, adapter)
    except LmError as error:
        print(json.dumps({"problem": error.located_problem, "next_step": error.next_step}))
        return 1
    print(json.dumps({"ok": True}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
