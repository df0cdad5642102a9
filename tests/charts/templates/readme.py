"""`python -m tests.charts.templates.readme`: writes the chart's README from the comments of its values."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tests.charts.tools import CHART, PROFILES

README = CHART / "README.md"
_KEY = re.compile(r"(?P<indent> *)(?P<key>[\w-]+):(?: +(?P<default>.+))?")
_HEAD = """# Drillyard's Helm chart

Made from the comments of `values.yaml` by `python -m tests.charts.templates.readme`. How the chart is installed, and
what an operator then does, stands in `docs/operations.md`, `docs/shipping/chart.md` and `docs/shipping/kubernetes.md`.

```
helm install drillyard charts/drillyard --namespace drillyard --create-namespace --set image.registry=REGISTRY
helm test drillyard --namespace drillyard --timeout 15m
```

Whole set-ups that are tested with each change, in `ci/`:

"""


@dataclass(frozen=True)
class Value:
    """One key of values.yaml: its path, its default where it has no keys of its own, and the comment above it."""

    path: str
    default: str | None
    comment: str


def values_of(text: str) -> Iterator[Value]:
    """Yield the keys in their order; a comment that an empty line follows belongs to none."""
    parents: list[str] = []
    comment: list[str] = []
    for line in text.splitlines():
        if line.lstrip().startswith("#"):
            comment.append(line.strip().removeprefix("#").strip())
        elif match := _KEY.fullmatch(line):
            parents[len(match["indent"]) // 2 :] = [match["key"]]
            yield Value(".".join(parents), match["default"], " ".join(comment))
            comment = []
        else:
            comment = []


def readme() -> str:
    """Return the text of the README."""
    lines = [f"- `{profile}.yaml`: {_first_comment(profile)}" for profile in PROFILES]
    for value in values_of((CHART / "values.yaml").read_text()):
        if value.default is None and "." not in value.path:
            lines += ["", f"## {value.path}", "", *([value.comment, ""] if value.comment else []), *_TABLE]
        elif value.default is not None:
            lines.append(f"| `{value.path}` | `{_cell(value.default)}` | {_cell(value.comment)} |")
        elif value.comment:
            lines.append(f"| `{value.path}` | | {_cell(value.comment)} |")
    return _HEAD + "\n".join(lines) + "\n"


_TABLE = ("| value | default | meaning |", "|---|---|---|")


def _first_comment(profile: str) -> str:
    lines = (CHART / "ci" / f"{profile}.yaml").read_text().splitlines()
    end = next(place for place, line in enumerate(lines) if not line.startswith("#"))
    return " ".join(line.removeprefix("# ") for line in lines[:end])


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "\\<")


if __name__ == "__main__":
    README.write_text(readme())
