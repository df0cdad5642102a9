"""What the Dockerfile says of the image of each deployable."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from tests.charts.tools import DEPLOYABLES, ROOT

TARGETS = (*DEPLOYABLES, "ray-worker", "trainer-light")


@dataclass
class Stage:
    """One stage: what it starts from, and its instructions in order."""

    base: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def all_of(self, instruction: str) -> list[str]:
        """Return the texts of all instructions of a kind."""
        return [text for name, text in self.steps if name == instruction]


def stages() -> dict[str, Stage]:
    """Return all stages by name."""
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    text = "\n".join(line for line in lines if not line.startswith("#"))
    found: dict[str, Stage] = {}
    current = Stage("")
    for line in re.sub(r"\\\n", " ", text).splitlines():
        name, _, rest = line.partition(" ")
        if name == "FROM":
            base, _, alias = rest.partition(" AS ")
            current = found[alias] = Stage(base)
        elif name:
            current.steps.append((name, rest))
    return found


def lineage(target: str) -> list[Stage]:
    """Return the stages that an image is made of, its own first."""
    everything, found = stages(), [stages()[target]]
    while found[-1].base in everything:
        found.append(everything[found[-1].base])
    return found


def last(target: str, instruction: str) -> str:
    """Return the instruction of a kind that decides for an image."""
    return next(text for stage in lineage(target) for text in reversed(stage.all_of(instruction)))


def extras_of(target: str) -> set[str]:
    """Return the extras of pyproject.toml that an image installs."""
    return set(re.findall(r"\[([a-z0-9,-]+)\]", last(target, "RUN"))[0].split(","))
