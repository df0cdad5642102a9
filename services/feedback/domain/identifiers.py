"""Ids that follow from the id of the request that made something."""

from __future__ import annotations

import hashlib
import uuid


def derived_id(prefix: str, request_id: str) -> str:
    """Return an id, the same for the same request id, and a new one for an empty one.

    So what was made is found by its request id before anything that the request names is looked up again.
    """
    chosen = hashlib.sha256(request_id.encode("utf-8")).hexdigest() if request_id else uuid.uuid4().hex
    return f"{prefix}-{chosen[:20]}"
