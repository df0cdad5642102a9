#!/bin/sh
# images.sh [TARGET…]: builds the images of the Dockerfile by buildah as root, all when none is named, on a base that is
# made of Debian's packages; needs `apt-get install buildah debootstrap`. Options for every build, such as volumes with
# this machine's settings of pip, stand in IMAGES_BUILD_OPTIONS; where the kernel has no overlayfs, STORAGE_DRIVER=vfs.
set -eu
cd "$(dirname "$0")/../.."
base=localhost/drillyard-base
scratch=$(mktemp -d -p "${IMAGES_SCRATCH:-/var/tmp}")
trap 'rm -rf "$scratch"' EXIT

make_base() {
  debootstrap --variant=minbase --include=python3-venv,ca-certificates "${IMAGES_SUITE:-bookworm}" "$scratch/root" >"$scratch/log" ||
    { tail -n 20 "$scratch/log"; return 1; }
  # `python` and `pip` of their own, as in the official images: Debian's refuse to install.
  chroot "$scratch/root" python3 -m venv /usr/local
  (cd "$scratch/root" && rm -rf var/cache/apt/* var/lib/apt/lists/* usr/share/doc usr/share/man usr/share/locale)
  container=$(buildah from scratch)
  buildah copy --quiet "$container" "$scratch/root" / >/dev/null
  buildah config --env PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
  buildah commit --quiet --rm "$container" "$base" >/dev/null
}

buildah inspect --type image "$base" >/dev/null 2>&1 || make_base
[ $# -gt 0 ] || set -- registry test-runner evaluator trainer feedback ray-worker gateway
for target in "$@"; do
  started=$(date +%s)
  # shellcheck disable=SC2086
  buildah bud --isolation chroot --layers --quiet --build-arg PYTHON="$base" --target "$target" \
    ${IMAGES_BUILD_OPTIONS:-} --tag "drillyard/$target" . >"$scratch/log" 2>&1 || { tail -n 40 "$scratch/log"; exit 1; }
  size=$(buildah inspect --type image "drillyard/$target" >/dev/null && buildah images --format '{{.Size}}' "drillyard/$target")
  echo "drillyard/$target: $size, $(($(date +%s) - started)) s"
done
