"""Whether sizes fit each other, whichever form they come from."""

from typing import Any, Final

from services.lm.conversion.families.family import Dimensions, Family
from services.lm.errors import InvalidModelFile

# Of all layers: each of an expert's matrices is a tensor of a folder.
_MAX_EXPERTS: Final = 1 << 17


def whole_setting(config: Any, name: str, default: int | None = None) -> int:
    """A size of a configuration, also where its class declares no type of it.

    Raises:
        InvalidModelFile: It is no whole number of 1 to 2^31 - 1, which GGUF can say.
    """
    value = getattr(config, name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value < 1 << 31:
        raise InvalidModelFile(f"Its {name} is {value!r:.40}, no size.", "Fetch the model again.", "config.json")
    return value


def check_fit(family: Family, sizes: Dimensions, next_step: str) -> None:
    """Pass where the heads and experts are some that the family's class can have.

    Raises:
        InvalidModelFile: They do not fit the other sizes.
    """
    of_hidden, of_heads = (family.names.get(name) == "" for name in ("head_dim", "num_key_value_heads"))
    is_split = sizes.heads % sizes.kv_heads == 0 and not (of_heads and sizes.kv_heads != sizes.heads)
    if family.has_attention and not (is_split and (not of_hidden or sizes.heads * sizes.head == sizes.hidden)):
        raise InvalidModelFile(
            f"Its {sizes.heads} heads of {sizes.head} numbers, {sizes.kv_heads} of them with keys, do not fit each "
            f"other or the hidden size {sizes.hidden}.",
            next_step,
        )
    if sizes.layers * sizes.more.get("experts", 0) > _MAX_EXPERTS:
        raise InvalidModelFile(f"It announces {sizes.more['experts']} experts in each layer.", next_step)
