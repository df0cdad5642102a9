#!/bin/sh
# Package: numba 0.68.1 with llvmlite 0.50.0 (PyPI).
# Expected: annotations of a function given to `numba.extending.overload` are of no account, as they are for `njit`, or
#   are refused as annotations.
# What happens: where the function that tells the types is annotated and the code that it returns is not (a lambda
#   cannot be), the call fails to compile: "Typing and implementation arguments differ in argument names", though the
#   names are the same; the two whole parameters, annotation included, are compared. Without the annotations it works.
# Who adds types to a module that works finds that its compiled code no longer does, with a message about names.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check numba==0.68.1 llvmlite==0.50.0
"$work/venv/bin/python" - <<'PYTHON'
from numba import njit
from numba.core.errors import TypingError
from numba.extending import overload


def doubled(number):
    raise NotImplementedError


def tripled(number):
    raise NotImplementedError


@overload(doubled)
def _doubled(number):
    return lambda number: 2 * number


@overload(tripled)
def _tripled(number: object) -> object:
    return lambda number: 3 * number


@njit
def without_annotations(number: float) -> float:
    return doubled(number)


@njit
def with_annotations(number: float) -> float:
    return tripled(number)


assert without_annotations(2.0) == 4.0
try:
    result = with_annotations(2.0)
except TypingError as error:
    told = "differ in argument names" in str(error)
    print("annotated:", "refused, as if the names differed" if told else f"refused: {error}")
    assert told
else:
    raise SystemExit(f"annotated: {result}; this has changed")
PYTHON
echo "As described."
