{{/* What the registry and the test-runner are told of versions that are served in the cluster. Takes root, name. */}}
{{- define "drillyard.deploymentEnvironment" -}}
{{- $root := .root -}}
{{- if eq .name "test-runner" }}
TEST_RUNNER_DEPLOYMENT_NAMESPACE: {{ $root.Release.Namespace | quote }}
{{- end }}
{{- if eq .name "registry" }}
REGISTRY_KUBERNETES_NAMESPACE: {{ $root.Release.Namespace | quote }}
REGISTRY_KUBERNETES_OWNER: {{ include "drillyard.fullname" . | quote }}
REGISTRY_KUBERNETES_LABELS: {{ include "drillyard.group" . | fromYaml | toJson | quote }}
REGISTRY_VLLM_IMAGE: {{ $root.Values.deployments.vllmImage | quote }}
REGISTRY_LLAMA_SERVER_IMAGE: {{ $root.Values.deployments.llamaServerImage | quote }}
{{- if $root.Values.artifacts.url }}
REGISTRY_KUBERNETES_FETCH_IMAGE: {{ include "drillyard.image" (dict "root" $root "name" "registry" "values" $root.Values.services.registry) | quote }}
REGISTRY_KUBERNETES_SECRET: {{ $root.Values.artifacts.existingSecret | quote }}
{{- else }}
REGISTRY_KUBERNETES_CLAIM: {{ $root.Values.storage.existingClaim | default (include "drillyard.fullname" (dict "root" $root "name" "data")) | quote }}
REGISTRY_KUBERNETES_SAME_NODE: {{ ne (default "ReadWriteOnce" $root.Values.storage.accessMode) "ReadWriteMany" | quote }}
{{- end }}
{{- end }}
{{- end }}
