"""What the prompt demands of a diff's form; stricter than the client."""

from __future__ import annotations

from services.protocols.roo.diff.blocks import read_blocks
from services.protocols.roo.diff.markers import check_markers


def form_problem(diff: str) -> str | None:
    """Return one sentence on what is wrong with the form of a diff, or None."""
    if fault := check_markers(diff):
        return f"the marker lines of the diff are not in order ({fault})."
    blocks = read_blocks(diff)
    if not blocks:
        return "the diff holds no block that the client can read."
    if not all(block.has_start_line for block in blocks):
        return "a block of the diff lacks its :start_line:."
    if not all(block.has_dashes for block in blocks):
        return "a block of the diff lacks the line of seven dashes."
    return None
