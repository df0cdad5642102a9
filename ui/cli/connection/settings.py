"""Where the gateway is and which key it gets, as the environment says."""

from __future__ import annotations

import os

DEFAULT_URL = "http://127.0.0.1:7860"
URL_VARIABLE, KEY_VARIABLE = "DRILLYARD_URL", "DRILLYARD_API_KEY"


def url_of_environment() -> str:
    """Return the gateway's address."""
    return os.environ.get(URL_VARIABLE) or DEFAULT_URL


def key_of_environment() -> str:
    """Return the key; empty for none."""
    return os.environ.get(KEY_VARIABLE, "")
