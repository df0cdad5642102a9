"""build/bench/NAME.json: one object per comparison, with what it was measured with; written as soon as known."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.bench.pairs import Comparison


class Results:
    """The file's comparisons; those that are not measured anew stay."""

    def __init__(self, path: Path, facts: Mapping[str, Any]) -> None:
        """`facts` say with what everything is measured from now on: versions, threads, sizes."""
        self._path, self._facts = path, dict(facts)
        self._rows: dict[str, dict[str, Any]] = {}
        if path.is_file():
            self._rows = {row["name"]: row for row in json.loads(path.read_text(encoding="utf-8"))["comparisons"]}

    def add(self, comparison: Comparison) -> None:
        """Take a comparison in, in the place of one of the same name."""
        self._rows[comparison.name] = {**comparison.row(), "environment": self._facts}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"comparisons": list(self._rows.values())}, indent=2) + "\n"
        self._path.write_text(text, encoding="utf-8")

    def print_table(self) -> None:
        """All comparisons, and below each what it was measured with."""
        print(f"{'comparison':28} {'ours':>9} {'peer':>9} {'ratio':>7} {'min':>7} {'max':>7} pairs")
        for row in self._rows.values():
            ratios = " ".join(f"{row[name]:7.2f}" for name in ("ratio_median", "ratio_min", "ratio_max"))
            print(f"{row['name']:28} {row['ours']:9.3f} {row['peer']:9.3f} {ratios} {row['pairs']:5d}")
            known = {**row["details"], **row["environment"]}
            print("    " + ", ".join(f"{name} {value}" for name, value in known.items()))
