#!/bin/sh
# kind.sh [OPTION OF HELM…]: makes a cluster in Docker by kind, unless CLUSTER (drillyard) is there, builds the images of
# the chart for the CPU into it, installs the chart and lets it test itself. `kind delete cluster --name drillyard` ends it.
set -eu
cd "$(dirname "$0")/.."
cluster=${CLUSTER:-drillyard}
for program in docker kind kubectl helm; do
  command -v "$program" >/dev/null && continue
  echo "Needs $program on PATH: https://kind.sigs.k8s.io/docs/user/quick-start" >&2
  exit 1
done
kind get clusters | grep -qx "$cluster" || kind create cluster --name "$cluster" --wait 2m
# A tag of its own for what was built: pods of an earlier build are replaced.
tag=$(git describe --always --dirty)
rendered=$(helm template dy charts/drillyard "$@")
for target in $(echo "$rendered" | grep -o 'drillyard/[a-z-]*:' | sort -u | sed 's|.*/\(.*\):|\1|'); do
  docker build --target "$target" --tag "drillyard/$target:$tag" --build-arg TORCH=cpu \
    --build-arg PIP_EXTRA_INDEX_URL="${TORCH_INDEX:-https://download.pytorch.org/whl/cpu}" .
  kind load docker-image --name "$cluster" "drillyard/$target:$tag"
done
helm upgrade --install dy charts/drillyard --kube-context "kind-$cluster" --namespace drillyard --create-namespace \
  --set image.tag="$tag" --wait --timeout 15m "$@"
helm test dy --kube-context "kind-$cluster" --namespace drillyard --timeout 15m
echo "Open it: kubectl --context kind-$cluster -n drillyard port-forward deployment/dy-gateway 7860:7860"
