#!/bin/sh
# Package: datasets 5.2.0 with pyarrow 26.0.1 (PyPI), Dataset.map.
# Expected: a column has one type, and rows that do not agree are refused, as Dataset.from_list refuses the same two,
#   or become text. No value is changed without a word.
# What happens: where one row gives a number and another one text, `map` makes numbers of all: "007" becomes 7, whether
#   it comes first or second, and "false" beside a boolean becomes False.
# A telephone number, a version or an argument of a call loses its zeros because another row had a number there.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check datasets==5.2.0 pyarrow==26.0.1
HF_HOME="$work/home" "$work/venv/bin/python" - 2>/dev/null <<'PYTHON'
import pyarrow
from datasets import Dataset


def mapped(values: list[object]) -> list[object]:
    return Dataset.from_dict({"row": [0, 1]}).map(lambda row: {"value": values[row["row"]]})["value"][:]


def listed(values: list[object]) -> list[object] | str:
    try:
        return Dataset.from_list([{"value": value} for value in values])["value"][:]
    except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError):
        return "refused"


pairs = [[1, "007"], ["007", 1], [True, "false"]]
results = [(mapped(pair), listed(pair)) for pair in pairs]
for pair, result in zip(pairs, results):
    print(pair, "by map and by from_list:", *result)
raise SystemExit(results[0] != ([1, 7], "refused") or results[1][0] != [7, 1] or results[2][0] != [True, False])
PYTHON
