{{/* Names, labels and addresses that all templates share. Each takes (dict "root" $ "name" "registry"). */}}

{{- define "drillyard.fullname" -}}
{{- printf "%s-%s" .root.Release.Name .name | trunc 63 | trimSuffix "-" -}}
{{- end }}

{{- define "drillyard.selector" -}}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end }}

{{/* What all pods of a release have in common. */}}
{{- define "drillyard.group" -}}
app.kubernetes.io/part-of: drillyard
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end }}

{{- define "drillyard.labels" -}}
{{ include "drillyard.selector" . }}
app.kubernetes.io/part-of: drillyard
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{- define "drillyard.image" -}}
{{- $image := .root.Values.image -}}
{{- $path := printf "drillyard/%s:%s" .name (default .root.Chart.AppVersion $image.tag) -}}
{{- $registry := trimSuffix "/" (default "" $image.registry) -}}
{{- .values.image | default (ternary $path (printf "%s/%s" $registry $path) (empty $registry)) -}}
{{- end }}

{{/* The image of a service's own pods: a trainer whose attempts run in others needs neither torch nor Ray. Takes root, name, values. */}}
{{- define "drillyard.ownImage" -}}
{{- $name := ternary "trainer-light" .name (and (eq .name "trainer") (eq (include "drillyard.trainsInCluster" .root) "true")) -}}
{{- include "drillyard.image" (dict "root" .root "name" $name "values" .values) -}}
{{- end }}

{{/* A map as YAML, without the entries that a null takes back. */}}
{{- define "drillyard.strings" -}}
{{- $kept := dict -}}
{{- range $key, $value := . -}}
{{- if not (kindIs "invalid" $value) }}{{ $_ := set $kept $key $value }}{{ end -}}
{{- end -}}
{{- if $kept }}{{ toYaml $kept }}{{ end -}}
{{- end }}

{{/* "test-runner" → "TEST_RUNNER". */}}
{{- define "drillyard.prefix" -}}
{{- .name | upper | replace "-" "_" -}}
{{- end }}

{{/* SQLite allows one process per database. */}}
{{- define "drillyard.checkReplicas" -}}
{{- if and (empty .root.Values.database.existingSecret) (gt (int .values.replicas) 1) (or (ne .name "gateway") .root.Values.authentication.existingSecret) -}}
{{- fail (printf "services.%s.replicas is %d, but SQLite allows one replica. Set database.existingSecret to the secret of a PostgreSQL URL, or replicas to 1." .name (int .values.replicas)) -}}
{{- end -}}
{{- end }}

{{/* The services that each one calls, as docs/architecture.md draws it, and the pod of `helm test`. */}}
{{- define "drillyard.calls" -}}
registry: []
test-runner: [registry]
evaluator: [registry, test-runner]
trainer: [registry]
feedback: [registry, test-runner, evaluator, trainer]
gateway: [registry, test-runner, evaluator, trainer, feedback]
smoke: [registry, test-runner, evaluator, trainer, feedback]
{{- end }}

{{- define "drillyard.usesVolume" -}}
{{- if or (empty .Values.database.existingSecret) (empty .Values.artifacts.url) }}true{{ end -}}
{{- end }}

{{/* Refuses what the cluster does not know; manifests that are rendered without one are not held against any. Takes root, api,
     value, instead. */}}
{{- define "drillyard.checkKnown" -}}
{{- $isCluster := lookup "v1" "ServiceAccount" .root.Release.Namespace "default" -}}
{{- if and $isCluster (not (.root.Capabilities.APIVersions.Has .api)) -}}
{{- fail (printf "%s is set, but this cluster does not know %s. Install what brings it, or %s." .value .api .instead) -}}
{{- end -}}
{{- end }}
