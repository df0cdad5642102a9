"""Step 1 of `apply_diff`: are the marker lines of a diff in order?"""

import re
from typing import Literal

from services.protocols.javascript import trim

MarkerFault = Literal["stray_marker", "marker_order", "line_marker_in_replace", "unfinished_block"]

_SEARCH = re.compile("<<<<<<< SEARCH>?")
_SEPARATOR = "======="
_REPLACE = ">>>>>>> REPLACE"
_LINE_MARKERS = (":start_line:", ":end_line:")
_MARKER_STARTS = ("<<<<<<<", "=======", ">>>>>>>", ":")
_START, _SEARCHING, _REPLACING = range(3)


def check_markers(diff: str) -> MarkerFault | None:
    """Return what is wrong with the marker lines of `diff`, or None."""
    markers = [marker for marker in map(trim, diff.split("\n")) if marker.startswith(_MARKER_STARTS)]
    counts = [sum(map(is_kind, markers)) for is_kind in (_is_search, _SEPARATOR.__eq__, _REPLACE.__eq__)]
    lopsided = counts[0] != counts[2] or counts[1] < counts[0]
    state = _START
    for marker in markers:
        if state == _REPLACING and marker.startswith(_LINE_MARKERS):
            return "line_marker_in_replace"
        kind = _kind(marker)
        if kind == state:
            state = (state + 1) % 3
        elif marker == _SEPARATOR:
            return "marker_order" if lopsided else "stray_marker"
        elif kind is not None:
            return "marker_order"
        elif not marker.startswith(":") and marker.startswith(("<<<<<<<", ">>>>>>>")):
            return "stray_marker"
    return None if state == _START else "unfinished_block"


def _is_search(marker: str) -> bool:
    return _SEARCH.fullmatch(marker) is not None


def _kind(marker: str) -> int | None:
    if _is_search(marker):
        return _START
    return {_SEPARATOR: _SEARCHING, _REPLACE: _REPLACING}.get(marker)
