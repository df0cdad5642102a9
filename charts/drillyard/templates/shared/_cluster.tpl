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

{{/* Attempts at training jobs in the cluster. */}}

{{/* "true" if they run in pods of their own. Takes the root. */}}
{{- define "drillyard.trainsInCluster" -}}
{{- with .Values.training }}{{ if eq .backend "kubernetes" }}true{{ end }}{{ end -}}
{{- end }}

{{- define "drillyard.trainingNamespace" -}}
{{- .Values.training.namespace | default .Release.Namespace -}}
{{- end }}

{{/* Refuses what could not work in another namespace. */}}
{{- define "drillyard.checkTraining" -}}
{{- if ne (include "drillyard.trainingNamespace" .) .Release.Namespace -}}
{{- if not .Values.artifacts.url -}}
{{- fail "training.namespace is another one, whose pods cannot mount the data volume. Set artifacts.url to an object store, or empty training.namespace." -}}
{{- end -}}
{{- if not .Values.serviceToken.existingSecret -}}
{{- fail "training.namespace is another one, whose pods cannot read the service token. Make a secret of one name in both namespaces and set serviceToken.existingSecret, or empty training.namespace." -}}
{{- end -}}
{{- with include "drillyard.issuer" . -}}
{{- if ne (get (fromYaml .) "kind") "ClusterIssuer" -}}
{{- fail "training.namespace is another one, where tls.certManager.issuerRef is not known. Name a ClusterIssuer, or empty training.namespace." -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* What the trainer is told of them. Takes root, name. */}}
{{- define "drillyard.trainingEnvironment" -}}
{{- $root := .root -}}
{{- $training := $root.Values.training -}}
{{- $pods := dict
      "namespace" (include "drillyard.trainingNamespace" $root)
      "image" (default (include "drillyard.image" (dict "root" $root "name" "trainer" "values" dict)) $training.image)
      "labels" (include "drillyard.group" . | fromYaml)
      "queue" (default "" $training.queue)
      "resources" (include "drillyard.resources" (dict "values" $training) | fromYaml)
      "head_resources" (include "drillyard.resources" (dict "values" (dict "resources" $training.headResources)) | fromYaml)
      "shared_memory" (toString (default "" $training.sharedMemory))
      "node_selector" (include "drillyard.strings" $training.nodeSelector | fromYaml)
      "tolerations" (default list $training.tolerations)
      "runtime_class" (default "" $training.runtimeClassName)
      "resource_claims" (default list $training.resourceClaims)
      "pull_secrets" (default list $root.Values.image.pullSecrets)
      "pull_policy" (default "IfNotPresent" $root.Values.image.pullPolicy)
      "token_secret" (include "drillyard.tokenSecret" $root)
      "tls_secret" (include "drillyard.tlsSecret" (dict "root" $root "name" "training"))
      "artifacts_secret" (default "" $root.Values.artifacts.existingSecret)
      "active_deadline_seconds" (int $training.activeDeadlineSeconds)
      "pre_running_deadline_seconds" (int $training.preRunningDeadlineSeconds)
      "ttl_seconds" (int $training.ttlSecondsAfterFinished)
      "grace_seconds" (int $training.terminationGracePeriodSeconds) -}}
{{- with $training.rayVersion }}{{ $_ := set $pods "ray_version" . }}{{ end -}}
{{- if not $root.Values.artifacts.url -}}
{{- $_ := set $pods "claim" (default (include "drillyard.fullname" (dict "root" $root "name" "data")) $root.Values.storage.existingClaim) -}}
{{- $_ := set $pods "same_node" (ne (default "ReadWriteOnce" $root.Values.storage.accessMode) "ReadWriteMany") -}}
{{- end -}}
TRAINER_KUBERNETES: {{ toJson $pods | quote }}
TRAINER_MAX_RUNNING: {{ int $training.maxRunning | quote }}
# Reports are for the very pod that follows the attempt, whichever others the Service has.
TRAINER_REPORT_ADDRESS: "$(POD_IP):50051"
{{- end }}
