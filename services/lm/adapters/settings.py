"""What an adapter's `adapter_config.json` may say: each field is computed exactly as PEFT does, or refused by name."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

import regex
from peft import LoraConfig
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    TypeAdapter,
    ValidationError,
)
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from services.lm.errors import AdapterMismatch, InvalidModelFile
from services.lm.folders import check_adapter_folder

ALL_LINEAR: Final = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
_FILE: Final = "adapter_config.json"
_MERGE: Final = "Merge it where it was made."
_MATCH_SECONDS: Final = 2.0
_ADAPTABLE: Final = (nn.Linear, nn.Embedding, Conv1D)

# How the adapter began. The first leave the base as it is, so that the saved weights say all; the others replace the
# base by what is left of it, in a way that follows from the base alone. PEFT does the same to it when it loads them.
_PLAIN_STARTS: Final = frozenset({"gaussian", "orthogonal", "eva", "mica"})
DECOMPOSING_STARTS: Final = frozenset({"pissa", "olora"})
# Fields that say nothing about the computation, or speak of a start that is over.
_IGNORED: Final = frozenset(
    {"peft_type", "peft_version", "task_type", "base_model_name_or_path", "revision", "inference_mode", "auto_mapping"}
    | {"fan_in_fan_out", "loftq_config", "eva_config", "corda_config", "lora_ga_config", "runtime_config"}
    | {"megatron_core", "qalora_group_size"}
)


@dataclass(frozen=True)
class LoraSettings:
    """What a LoRA adapter is made of; names and meaning as in PEFT. No target modules are all linear layers."""

    r: int = 16
    lora_alpha: float = 32
    lora_dropout: float = 0.0
    target_modules: tuple[str, ...] = ()
    use_rslora: bool = False
    use_dora: bool = False
    init_lora_weights: bool | str = True
    modules_to_save: tuple[str, ...] = ()
    rank_pattern: Mapping[str, int] = field(default_factory=dict)
    alpha_pattern: Mapping[str, float] = field(default_factory=dict)


def new_config(settings: LoraSettings, model: PreTrainedModel) -> LoraConfig:
    """PEFT's form of the settings, for a model that has the modules that they name.

    Raises:
        AdapterMismatch: It has not; the error names those that it has.
    """
    linear = _ends(name for name, module in model.named_modules() if isinstance(module, nn.Linear | Conv1D))
    head: Any = model.get_output_embeddings()
    linear -= _ends(name for name, module in model.named_modules() if module is head)
    holders = _ends(name.rpartition(".")[0] for name, _ in model.named_parameters(remove_duplicate=False))
    has_experts = any(".experts" in name for name, _ in model.named_modules())
    targets = settings.target_modules or (ALL_LINEAR if has_experts or set(ALL_LINEAR) <= linear else sorted(linear))
    adaptable = _ends(name for name, module in model.named_modules() if isinstance(module, _ADAPTABLE))
    # PEFT knows the layers of joined experts by the names that they had.
    _refuse_unknown("target_modules", () if has_experts else settings.target_modules, adaptable, model)
    _refuse_unknown("modules_to_save", settings.modules_to_save, holders, model)
    for name in ("rank_pattern", "alpha_pattern"):
        _refuse_unknown(name, tuple(getattr(settings, name)), {target.rpartition(".")[2] for target in targets}, model)
    changes = {"target_modules": list(targets), "modules_to_save": list(settings.modules_to_save) or None}
    return LoraConfig(task_type="CAUSAL_LM", **(asdict(settings) | changes))


def _refuse_unknown(key: str, names: Sequence[str], known: set[str], model: nn.Module) -> None:
    """A name is a module's or the end of one, from a dot on; of the known ones the last parts are told."""
    places = [f".{name}" for name, _ in model.named_modules()]
    for name in names:
        if name.rpartition(".")[2] not in known or not any(place.endswith(f".{name}") for place in places):
            raise AdapterMismatch(
                f"The model has no module {name!r} for {key}.", f"Choose of these: {', '.join(sorted(known))}."
            )


def _ends(names: Iterable[str]) -> set[str]:
    return {name.rpartition(".")[2] for name in names} - {""}


def read_settings(folder: Path) -> LoraConfig:
    """The settings of the adapter in `folder`, in PEFT's form.

    Raises:
        InvalidModelFile: The folder is damaged, or the adapter uses a form that isn't supported, which is named.
    """
    config = check_adapter_folder(folder)
    if config.get("bias", "none") != "none":
        raise InvalidModelFile("The adapter trains biases.", _MERGE, _FILE)
    needed = [key for key in ("r", "lora_alpha") if key in config]
    named = [key for key in _CHECKS if config.get(key) is not None or key in needed]
    values = {key: _checked(key, config[key]) for key in named}
    _check_others(config)
    if values.get("target_modules") is None and not values.get("target_parameters"):
        raise InvalidModelFile("target_modules is not a list of names.", "Name the modules.", _FILE)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return LoraConfig(task_type="CAUSAL_LM", **values)
    except (ValueError, TypeError) as error:
        raise InvalidModelFile(f"The adapter's settings contradict each other ({error}).", _MERGE, _FILE) from error


def matching(pattern: str, names: list[str]) -> list[str]:
    """The names that a pattern matches whole, in bounded time: it comes with the adapter.

    Raises:
        InvalidModelFile: It is not a pattern, or takes too long.
    """
    try:
        compiled = regex.compile(pattern)
        return [name for name in names if compiled.fullmatch(name, timeout=_MATCH_SECONDS)]
    except (regex.error, TimeoutError, RecursionError) as error:
        raise InvalidModelFile(
            f"A pattern of modules cannot be matched ({str(error)[:100]}).", "Name the modules.", _FILE
        ) from error


def _check_others(config: Mapping[str, Any]) -> None:
    """No other field may change the computation, whatever this or a later PEFT means by it."""
    defaults = LoraConfig().to_dict()
    for key, value in config.items():
        if key in _CHECKS or key in _IGNORED or not value or value == defaults.get(key):
            continue
        raise InvalidModelFile(f"The adapter sets {key[:40]!r}, which is not supported.", _MERGE, _FILE)


def _checked(key: str, value: object) -> Any:
    adapter, refusal = _CHECKS[key]
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        raise InvalidModelFile(
            refusal.format(repr(value)[:60]), "Fetch the adapter again, or merge it where it was made.", _FILE
        ) from error


def _own_pattern(pattern: str) -> str:
    if pattern == "all-linear":
        raise ValueError("It is no pattern.")
    return pattern


def _start(value: object) -> bool | str:
    if isinstance(value, bool):
        return value
    name = value.lower() if isinstance(value, str) else ""
    if name in _PLAIN_STARTS:
        return True
    if name in DECOMPOSING_STARTS:
        return name
    raise ValueError("It began in another way.")


_Rank = Annotated[int, Field(strict=True, ge=1, le=4096)]
_Number = StrictInt | Annotated[float, Field(strict=True, allow_inf_nan=False)]
_Names = Annotated[list[StrictStr], Field(strict=True, max_length=100_000), AfterValidator(sorted)]
_Pattern = Annotated[str, Field(strict=True, max_length=2000), AfterValidator(_own_pattern)]
_Layer = Annotated[int, Field(strict=True, ge=0)]
_Word = Annotated[str, Field(strict=True, pattern=r"^\w{1,60}$")]
_LISTED: Final = BeforeValidator(lambda value: value if isinstance(value, list) else [value])
# Names of modules, whose beginning may be open; other patterns could take PEFT very long.
_Key = Annotated[str, Field(strict=True, pattern=r"^\^?(\.\*(\\\.|\.)?)?(\w|\\?\.|-){1,200}\$?$")]
_Start = Annotated[bool | str, BeforeValidator(_start)]

_PATTERN_REFUSAL: Final = "names modules by patterns that are not supported, or gives no number for one: {}."
# Each field that is read: what it may hold, and what is said when it holds something else.
_FIELDS: Final[tuple[tuple[str, Any, str], ...]] = (
    ("r", _Rank, "The rank is {}."),
    ("lora_alpha", _Number, "lora_alpha is {}."),
    ("lora_dropout", Annotated[float, Field(strict=True, ge=0, lt=1)], "lora_dropout is {}."),
    ("target_modules", _Pattern | _Names, "target_modules is not a list of names: {}."),
    ("exclude_modules", _Names, "exclude_modules is not a list of names: {}."),
    ("modules_to_save", _Names, "modules_to_save is not a list of names: {}."),
    ("target_parameters", _Names, "target_parameters is not a list of names: {}."),
    ("use_rslora", StrictBool, "use_rslora is {}."),
    ("use_dora", StrictBool, "use_dora is {}."),
    ("layers_to_transform", Annotated[list[_Layer], _LISTED], "layers_to_transform is {}."),
    ("layers_pattern", Annotated[list[_Word], _LISTED], "layers_pattern is {}."),
    ("rank_pattern", dict[_Key, _Rank], f"rank_pattern {_PATTERN_REFUSAL}"),
    ("alpha_pattern", dict[_Key, _Number], f"alpha_pattern {_PATTERN_REFUSAL}"),
    (
        "init_lora_weights",
        _Start,
        "The adapter began as {} (init_lora_weights), and what that left of its base cannot be found again.",
    ),
)
_CHECKS: Final = {key: (TypeAdapter[Any](kind), refusal) for key, kind, refusal in _FIELDS}
