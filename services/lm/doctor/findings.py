"""What the doctor can find, from the table `findings.toml`."""

import tomllib
from pathlib import Path
from string import Template
from typing import Any, Final

from services.lm.doctor.diagnosis import Finding, Severity

TABLE: Final[dict[str, dict[str, Any]]] = tomllib.loads(
    Path(__file__).with_name("findings.toml").read_text(encoding="utf-8")
)


def finding(code: str, evidence: str = "", *, severity: Severity | None = None, **values: object) -> Finding:
    """The finding with its names filled in; `severity` where it depends on more than the code."""
    row = TABLE[code]
    problem, fix = (Template(row[name]).substitute(values) for name in ("problem", "fix"))
    return Finding(code, severity or row["severity"], problem, fix, evidence)
