#!/bin/sh
# Package: safetensors 0.8.0 (PyPI), safetensors.numpy.
# Expected: what `save` writes and `load` reads is equal to what was given, or is refused (safetensors.torch refuses
#   tensors that are not contiguous). The documentation wants "contiguous and dense" arrays; a transposed matrix, which
#   scikit-learn's components often are, is so in numpy's words, with its columns one after the other.
# What happens: the memory is written as it lies and the shape as it is seen, and other numbers come back, without a
#   word. Version 0.7.0 did it right. Known as safetensors/safetensors#825, open.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for version in 0.7.0 0.8.0; do
  python3 -m venv "$work/$version"
  "$work/$version/bin/pip" install --quiet --disable-pip-version-check safetensors==$version numpy==2.4.6
done
cat > "$work/try.py" <<'PYTHON'
import numpy
from safetensors.numpy import load, save

matrix = numpy.arange(6, dtype=numpy.float32).reshape(2, 3).T
assert matrix.flags.f_contiguous
print(load(save({"weight": matrix}))["weight"].tolist())
PYTHON
earlier=$("$work/0.7.0/bin/python" "$work/try.py")
later=$("$work/0.8.0/bin/python" "$work/try.py")
echo "0.7.0: $earlier"
echo "0.8.0: $later"
[ "$earlier" = "[[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]]" ] && [ "$later" = "[[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]" ]
