#!/bin/sh
# slim.sh [MODULE…]: takes from an image what its programs never use, by left-out.txt and, where there is no torch, by
# left-out-without-torch.txt, and compiles what the modules import as they start: nobody can write it there later.
set -eu
lists=$(dirname "$0")
cd "$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
find . -depth -type d -name tests -exec rm -r {} +
find botocore/data -mindepth 1 -maxdepth 1 -type d ! -name s3 ! -name 'sso*' ! -name sts ! -name signin -exec rm -r {} +
left_out() {
  # shellcheck disable=SC2046
  rm -rf $(grep -v '^#' "$lists/$1")
}
left_out left-out.txt
if [ ! -d torch ]; then
  left_out left-out-without-torch.txt
  find . -name '*.pyi' -delete
fi
# Names and lines for debuggers of C are up to two thirds of an extension; libraries that were relocated (*.libs) stay whole.
tools=/build/usr
LD_LIBRARY_PATH=$tools/lib/$(uname -m)-linux-gnu find . \( -name '*.cpython-*.so' -o -name '*.abi3.so' \) \
  -exec "$tools/bin/strip" --strip-unneeded {} +
for module in "$@"; do
  env -u PYTHONDONTWRITEBYTECODE python -c "import $module"
done
