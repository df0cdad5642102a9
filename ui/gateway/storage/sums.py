"""What goes, summed by what it is and why."""

from collections import defaultdict
from collections.abc import Iterable

from ui.cli.connection import Document


def garbage_sums(garbage: Iterable[Document]) -> list[tuple[str, str, int, int, str]]:
    """Return service, kind, number, bytes and reason of each sort of garbage."""
    sizes: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for item in garbage:
        sizes[item["service"], item["kind"], item["reason"]].append(int(item["size_bytes"]))
    return [(service, kind, len(each), sum(each), reason) for (service, kind, reason), each in sorted(sizes.items())]
