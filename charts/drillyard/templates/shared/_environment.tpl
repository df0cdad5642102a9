{{/* Environment of one pod. Takes root, name, values. A name never stands twice: Helm 4 refuses that. */}}
{{- define "drillyard.environment" -}}
{{- $root := .root -}}
{{- $name := .name -}}
{{- $prefix := include "drillyard.prefix" . -}}
{{- $own := dict
      (printf "%s_DATA_DIR" $prefix) "/data"
      (printf "%s_LOG_FORMAT" $prefix) (default "json" $root.Values.logs.format)
      (printf "%s_LOG_LEVEL" $prefix) (default "info" $root.Values.logs.level)
      (printf "%s_METRICS_PORT" $prefix) "9090"
      (printf "%s_TOKEN_FILE" $prefix) "/etc/drillyard/service-token/token" -}}
{{- if include "drillyard.tlsSecret" . -}}
{{- $_ := set $own (printf "%s_TLS_DIR" $prefix) "/etc/drillyard/tls" -}}
{{- if eq $name "trainer" }}{{ $_ := set $own "TRAINER_REPORT_NAME" (include "drillyard.fullname" .) }}{{ end -}}
{{- end -}}
{{- if eq $name "gateway" -}}
{{- $_ := set $own "GATEWAY_PORT" "7860" -}}
{{- $_ := set $own "GATEWAY_METRICS_HOST" "0.0.0.0" -}}
{{- if $root.Values.authentication.existingSecret -}}
{{- $own = merge $own (include "drillyard.authenticationEnvironment" $root | fromYaml) -}}
{{- end -}}
{{- else -}}
{{- $_ := set $own (printf "%s_HOST" $prefix) "0.0.0.0" -}}
{{- $_ := set $own (printf "%s_GRPC_PORT" $prefix) "50051" -}}
{{- end -}}
{{- if $root.Values.artifacts.url -}}
{{- $_ := set $own (printf "%s_ARTIFACTS_URL" $prefix) (printf "%s/%s" (trimSuffix "/" $root.Values.artifacts.url) $name) -}}
{{- if ne $name "gateway" -}}
{{- $_ := set $own (printf "%s_ARTIFACT_SOURCES" $prefix) (list (printf "%s/" (trimSuffix "/" $root.Values.artifacts.url)) | toJson) -}}
{{- end -}}
{{- end -}}
{{- if eq $name "test-runner" -}}
{{- with $root.Values.endpoints.existingSecret -}}
{{- $_ := set $own "TEST_RUNNER_SECRETS_DIR" "/etc/drillyard/endpoint-keys" -}}
{{- end -}}
{{- with $root.Values.endpoints.hosts -}}
{{- $_ := set $own "TEST_RUNNER_ENDPOINT_HOSTS" (toJson .) -}}
{{- end -}}
{{- with $root.Values.endpoints.keyHosts -}}
{{- $_ := set $own "TEST_RUNNER_ENDPOINT_KEY_HOSTS" (toJson .) -}}
{{- end -}}
{{- end -}}
{{- if eq $name "registry" -}}
{{- with $root.Values.sources.existingSecret -}}
{{- $_ := set $own "REGISTRY_SECRETS_DIR" "/etc/drillyard/source-tokens" -}}
{{- end -}}
{{- with $root.Values.sources.hosts -}}
{{- $_ := set $own "REGISTRY_SOURCE_HOSTS" (toJson .) -}}
{{- end -}}
{{- with $root.Values.sources.secretHosts -}}
{{- $_ := set $own "REGISTRY_SECRET_HOSTS" (toJson .) -}}
{{- end -}}
{{- end -}}
{{- if $root.Values.deployments.enabled -}}
{{- $own = merge $own (include "drillyard.deploymentEnvironment" . | fromYaml) -}}
{{- end -}}
{{- $trains := and (eq $name "trainer") (include "drillyard.trainsInCluster" $root) -}}
{{- if $trains -}}
{{- $own = merge $own (include "drillyard.trainingEnvironment" . | fromYaml) -}}
{{- end -}}
{{- range index (include "drillyard.calls" . | fromYaml) $name -}}
{{- $called := include "drillyard.fullname" (dict "root" $root "name" .) -}}
{{- $_ := set $own (printf "%s_%s_ADDRESS" $prefix (include "drillyard.prefix" (dict "name" .))) (printf "%s:50051" $called) -}}
{{- end -}}
{{- $traces := default (dict) $root.Values.monitoring.traces -}}
{{- with $traces.endpoint -}}
{{- $_ := set $own "OTEL_EXPORTER_OTLP_ENDPOINT" . -}}
{{- $_ := set $own "OTEL_TRACES_SAMPLER" $traces.sampler -}}
{{- $_ := set $own "OTEL_TRACES_SAMPLER_ARG" $traces.samplerArgument -}}
{{- $_ := set $own "OTEL_RESOURCE_ATTRIBUTES" (printf "k8s.namespace.name=%s,service.namespace=%s" $root.Release.Namespace $root.Release.Name) -}}
{{- end -}}
{{- range $key, $value := default (dict) .values.env -}}
{{- if not (kindIs "invalid" $value) }}{{ $_ := set $own $key $value }}{{ end -}}
{{- end -}}
{{- if $trains }}
- name: POD_IP
  valueFrom:
    fieldRef: {apiVersion: v1, fieldPath: status.podIP}
{{- end }}
{{- range $key, $value := $own }}
- name: {{ $key }}
  {{- /* Helm reads every number of a file as one with a fraction. */}}
  value: {{ if kindIs "float64" $value }}{{ if eq $value (floor $value) }}{{ int64 $value | quote }}{{ else }}{{ $value | quote }}{{ end }}{{ else }}{{ $value | quote }}{{ end }}
{{- end }}
{{- if and $traces.endpoint $traces.existingSecret }}
- name: OTEL_EXPORTER_OTLP_HEADERS
  valueFrom:
    secretKeyRef: {name: {{ $traces.existingSecret }}, key: headers}
{{- end }}
{{- if and $root.Values.database.existingSecret (or (ne $name "gateway") $root.Values.authentication.existingSecret) }}
- name: {{ $prefix }}_DATABASE_URL
  valueFrom:
    secretKeyRef:
      name: {{ $root.Values.database.existingSecret }}
      key: {{ $name }}
{{- end }}
{{- end }}

{{/* Variables of a gateway that asks for a login. Takes the root. */}}
{{- define "drillyard.authenticationEnvironment" -}}
{{- $authentication := .Values.authentication -}}
{{- $oidc := $authentication.oidc -}}
GATEWAY_AUTHENTICATION: "on"
GATEWAY_ADMIN_KEY_FILE: /etc/drillyard/authentication/admin-key
GATEWAY_HOST: 0.0.0.0
{{- with $authentication.outsideUrl }}
GATEWAY_OUTSIDE_URL: {{ . | quote }}
{{- end }}
{{- if $oidc.issuer }}
GATEWAY_OIDC_ISSUER: {{ $oidc.issuer | quote }}
GATEWAY_OIDC_CLIENT_ID: {{ $oidc.clientId | quote }}
GATEWAY_OIDC_CLIENT_SECRET_FILE: /etc/drillyard/authentication/oidc-client-secret
GATEWAY_OIDC_GROUPS_CLAIM: {{ $oidc.groupsClaim | quote }}
GATEWAY_OIDC_ROLES: {{ $oidc.roles | toJson | quote }}
{{- end }}
{{- end }}
