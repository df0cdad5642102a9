#!/bin/sh
# build.sh [TARGET…]: builds the images of the Dockerfile by buildah as root, all when none is named, on a base that is
# made of Debian's packages, and writes what each holds to build/images as SPDX. Needs buildah and debootstrap. Options
# for every build, such as volumes with this machine's settings of pip, stand in IMAGES_BUILD_OPTIONS; where the kernel
# has no overlayfs, STORAGE_DRIVER=vfs.
set -eu
cd "$(dirname "$0")/../../.."
revision=$(git rev-parse HEAD)
base=localhost/drillyard-base
scratch=$(mktemp -d -p "${IMAGES_SCRATCH:-/var/tmp}")
trap 'rm -rf --one-file-system "$scratch"' EXIT

logged() {
  "$@" >"$scratch/log" 2>&1 || { tail -n 40 "$scratch/log"; exit 1; }
}

make_base() {
  logged debootstrap --variant=minbase --include=python3-venv,ca-certificates "${IMAGES_SUITE:-bookworm}" "$scratch/root"
  # `python` and `pip` of their own, as in the official images: Debian's refuse to install.
  chroot "$scratch/root" sh -c 'python3 -m venv /usr/local && /usr/local/bin/pip uninstall --quiet --yes setuptools'
  (cd "$scratch/root" && rm -rf var/cache/apt/* var/lib/apt/lists/* usr/share/doc usr/share/man usr/share/locale \
    usr/share/python-wheels usr/lib/*/gconv)
  container=$(buildah from scratch)
  buildah copy --quiet "$container" "$scratch/root" / >/dev/null
  buildah config --env PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
  buildah commit --quiet --rm "$container" "$base" >/dev/null
}

buildah inspect --type image "$base" >/dev/null 2>&1 || make_base
digest=$(buildah inspect --type image --format '{{.FromImageDigest}}' "$base")
[ $# -gt 0 ] || set -- registry test-runner evaluator trainer trainer-light feedback ray-worker gateway
mkdir -p build/images
sources=$(git ls-files -z pyproject.toml requirements proto services ui | xargs -0 cat | sha256sum | cut -d ' ' -f 1)
for target in "$@"; do
  started=$(date +%s)
  # shellcheck disable=SC2086
  logged buildah bud --isolation chroot --layers --quiet --build-arg PYTHON="$base@$digest" \
    --build-arg SOURCES="$sources" --target "$target" \
    --label "org.opencontainers.image.revision=$revision" ${IMAGES_BUILD_OPTIONS:-} --tag "drillyard/$target" .
  container=$(buildah from "drillyard/$target")
  root=$(buildah mount "$container")
  PYTHONPATH=. python3 -m tests.charts.images.sbom "$root" "$target" >"build/images/$target.spdx.json"
  size=$(($(du --summarize --bytes "$root" | cut -f 1) / 1000000))
  buildah rm "$container" >/dev/null
  echo "drillyard/$target: $size MB, $(($(date +%s) - started)) s"
done
