"""A model in memory written as a folder, with the configuration, tokenizer and templates of the folder it came from."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from safetensors.torch import save_file
from torch import Tensor
from transformers import AutoConfig, PreTrainedModel
from transformers.core_model_loading import revert_weight_conversion
from transformers.modeling_utils import remove_tied_weights_from_state_dict

from services.lm.folders.publish import published
from services.lm.folders.templates import FOLDER as TEMPLATES

CONFIG: Final = "config.json"
_NAMES: Final = (
    *(CONFIG, "generation_config.json", "tokenizer.json", "tokenizer_config.json", "tokenizer.model"),
    *("special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt"),
    *("chat_template.jinja", "chat_template.json"),
)
_TIE: Final = "tie_word_embeddings"
_DTYPES: Final = ("dtype", "torch_dtype")


def companion_files(folder: Path) -> dict[str, bytes]:
    """What a model's folder holds beside its weights: configuration, tokenizer and templates, by path."""
    paths = [*(folder / name for name in _NAMES), *sorted((folder / TEMPLATES).glob("*.jinja"))]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths if path.is_file()}


def save_model(model: PreTrainedModel, companions: Mapping[str, bytes], out: Path) -> None:
    """Write the model to the new folder `out`, in the type that its weights have.

    Raises:
        LmError: `out` exists already.
    """
    _publish(out, stored_tensors(model), model, companions)


def snapshot_model(model: PreTrainedModel, companions: Mapping[str, bytes]) -> Callable[[Path], None]:
    """Copy the weights to the CPU's memory, and return what writes the copy to a new folder as `save_model` does."""
    tensors = {name: tensor.detach().to("cpu", copy=True) for name, tensor in stored_tensors(model).items()}
    return lambda out: _publish(out, tensors, model, companions)


def _publish(out: Path, tensors: Mapping[str, Tensor], model: PreTrainedModel, companions: Mapping[str, bytes]) -> None:
    text = with_dtype(companions[CONFIG], str(model.dtype).removeprefix("torch."))
    with published(out) as folder:
        write_model(folder, tensors, model, {**companions, CONFIG: text})


def with_dtype(content: bytes, dtype: str) -> bytes:
    """The configuration's text with another type of the weights, in the keys that name it."""
    config = json.loads(content)
    config |= {key: dtype for key in _DTYPES if key in config}
    return json.dumps(config, indent=2, ensure_ascii=False).encode()


def write_model(
    folder: Path, tensors: Mapping[str, Tensor], model: PreTrainedModel, companions: Mapping[str, bytes]
) -> None:
    """Write tensors and companions, whose configuration says afterwards whether the model's head is tied."""
    save_file(dict(tensors), folder / "model.safetensors", metadata={"format": "pt"})
    table, head = model.get_input_embeddings(), model.get_output_embeddings()
    config = companions[CONFIG]
    if head is not None:
        config = with_tie(config, is_tied=head.weight is table.weight)
    write_companions(folder, {**companions, CONFIG: config})


def write_companions(folder: Path, companions: Mapping[str, bytes]) -> None:
    """Write what stands beside a model's weights, by path."""
    for name, content in companions.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)


def stored_tensors(model: PreTrainedModel) -> dict[str, Tensor]:
    """The weights under the names that files have: a mixture's experts one by one, say; tied ones once."""
    untied = remove_tied_weights_from_state_dict(dict(model.state_dict()), model)
    return {name: tensor.contiguous() for name, tensor in revert_weight_conversion(model, untied).items()}


def with_tie(content: bytes, *, is_tied: bool) -> bytes:
    """The configuration's text, which says whether the head shares the table of embeddings."""
    config: dict[str, Any] = json.loads(content)
    if is_tied == AutoConfig.for_model(**config).get_text_config().tie_word_embeddings:
        return content
    for part in (config, *(value for value in config.values() if isinstance(value, dict) and _TIE in value)):
        part[_TIE] = is_tied
    return json.dumps(config, indent=2, ensure_ascii=False).encode()
