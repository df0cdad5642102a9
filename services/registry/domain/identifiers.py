"""Ids that callers choose, and references to versions."""

from __future__ import annotations

import re
from dataclasses import dataclass

from services.chassis.errors import InvalidArgument
from services.chassis.wire.names import SEGMENT, check_name, shown

_MODEL_ID = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?")
_TEST_SUITE_ID = re.compile(rf"[a-z0-9_]+/{SEGMENT}")
_VERSION = re.compile(r"[1-9][0-9]{0,8}")
_MAX_ID = 100
_MAX_PRODUCED_BY = 200
_MAX_REQUEST_ID = 200


@dataclass(frozen=True)
class VersionRef:
    """A version of something, or its newest when `version` is None."""

    owner_id: str
    version: int | None


def version_ref(text: str) -> VersionRef:
    """Read "<id>@<version>" or "<id>"; whatever does not end in a version number is an id."""
    text = plain_id(text)
    owner_id, at, number = text.rpartition("@")
    if at and _VERSION.fullmatch(number):
        return VersionRef(owner_id, int(number))
    return VersionRef(text, None)


def version_id(owner_id: str, version: int) -> str:
    """Return the id of one version."""
    return f"{owner_id}@{version}"


def check_model_id(model_id: str) -> None:
    """Raise InvalidArgument unless `model_id` may name a model."""
    check_name(model_id, _MODEL_ID, "model_id", 'lower-case letters, digits, dots and dashes, such as "smollm2-135m"')


def check_test_suite_id(test_suite_id: str) -> None:
    """Raise InvalidArgument unless `test_suite_id` is "<profile>/<name>"."""
    check_name(
        test_suite_id, _TEST_SUITE_ID, "test_suite_id", '"<profile>/<name>" in lower case, such as "roo_xml/mine"'
    )


def plain_id(text: str) -> str:
    """Return an id that a caller asks for; empty, which is nobody's, for one that no database could hold."""
    return text if len(text) <= 2 * _MAX_ID and text.isprintable() else ""


def check_numbered(text: str, field: str) -> None:
    """Raise InvalidArgument unless `text` names one version by its number, and not whichever is the newest."""
    if version_ref(text).version is None:
        raise InvalidArgument(
            f"{field} {shown(text)} names no single version.", 'Add its number, such as "mine@2".', field=field
        )


def check_request_id(request_id: str) -> None:
    """Raise InvalidArgument unless `request_id` is short printable text, or empty for a call that is never repeated."""
    if len(request_id) > _MAX_REQUEST_ID or not request_id.isprintable():
        raise InvalidArgument(
            f"request_id is longer than {_MAX_REQUEST_ID} characters or holds control characters.",
            "Use a short id of your own, such as a UUID.",
            field="request_id",
        )


def check_produced_by(produced_by: str) -> None:
    """Raise InvalidArgument unless `produced_by` is short printable text."""
    if len(produced_by) > _MAX_PRODUCED_BY or not produced_by.isprintable():
        raise InvalidArgument(
            f"produced_by is longer than {_MAX_PRODUCED_BY} characters or holds control characters.",
            'Name what made it, such as "training_job:<job id>".',
            field="produced_by",
        )
