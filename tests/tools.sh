#!/bin/sh
# tools.sh PACKAGE… : installs the Debian or Ubuntu packages that are missing, when that is possible without asking.
# Where it is not, the tests that need them skip and say so.
set -u
missing=
for package in "$@"; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $package"
done
[ -z "$missing" ] && exit 0
as_root=
[ "$(id -u)" = 0 ] || as_root="sudo -n"
if ! command -v apt-get >/dev/null || { [ -n "$as_root" ] && ! sudo -n true 2>/dev/null; }; then
  echo "Not installed:$missing. Install them by your package manager to run the tests that need them." >&2
  exit 0
fi
echo "Installing$missing"
export DEBIAN_FRONTEND=noninteractive
# Set-up and tools may both need apt, which runs once at a time.
exec 9<"$0"
flock 9
$as_root apt-get update -qq && $as_root apt-get install -y -qq --no-install-recommends $missing >/dev/null
