"""Names that callers choose for what several services name."""

from __future__ import annotations

import re

from services.chassis.errors import InvalidArgument

SEGMENT = r"[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?"
_DATASET_ID = re.compile(rf"{SEGMENT}(?:/{SEGMENT}){{0,3}}")
_MAX_NAME = 100
_MAX_SHOWN = 80


def check_dataset_id(dataset_id: str, field: str = "dataset_id") -> None:
    """Raise InvalidArgument unless `dataset_id` may name a dataset."""
    check_name(dataset_id, _DATASET_ID, field, 'lower-case names joined by slashes, such as "roo_xml/drill"')


def check_name(text: str, pattern: re.Pattern[str], field: str, form: str) -> None:
    """Raise InvalidArgument unless a text is a name of that pattern; `form` says in words what it must be."""
    if len(text) > _MAX_NAME or ".." in text or not pattern.fullmatch(text):
        raise InvalidArgument(
            f"{field} {shown(text)} is not an id.",
            f"Use at most {_MAX_NAME} characters: {form}.",
            field=field,
        )


def shown(text: str) -> str:
    """Return `text` as it may stand in an error: quoted, printable and short."""
    return ascii(text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 1] + "…") if text else "(empty)"
