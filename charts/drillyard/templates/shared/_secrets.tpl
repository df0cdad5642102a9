{{/* The secrets that a pod mounts below /etc/drillyard, by the name of the folder. Takes root, name. */}}
{{- define "drillyard.secrets" -}}
{{- $values := .root.Values -}}
service-token: {{ include "drillyard.tokenSecret" .root }}
{{- with get (dict "test-runner" $values.endpoints.existingSecret) .name }}
endpoint-keys: {{ . }}
{{- end }}
{{- with get (dict "registry" $values.sources.existingSecret) .name }}
source-tokens: {{ . }}
{{- end }}
{{- with get (dict "gateway" $values.authentication.existingSecret) .name }}
authentication: {{ . }}
{{- end }}
{{- with include "drillyard.tlsSecret" . }}
tls: {{ . }}
{{- end }}
{{- end }}

{{- define "drillyard.tokenSecret" -}}
{{- .Values.serviceToken.existingSecret | default (include "drillyard.fullname" (dict "root" . "name" "service-token")) -}}
{{- end }}

{{/* cert-manager's issuer, as YAML; empty: none. Takes the root. An earlier release's values have no tls. */}}
{{- define "drillyard.issuer" -}}
{{- $issuer := dig "certManager" "issuerRef" dict (default dict .Values.tls) -}}
{{- if $issuer.name }}{{ toYaml $issuer }}{{ end -}}
{{- end }}

{{/* The secret with a pod's certificate; empty where calls go without TLS. Takes root, name. */}}
{{- define "drillyard.tlsSecret" -}}
{{- $existing := get (default dict .root.Values.tls) "existingSecret" -}}
{{- if include "drillyard.issuer" .root -}}
{{- if $existing -}}
{{- fail "tls.existingSecret and tls.certManager.issuerRef are both set, so it is not clear whose certificates the services show. Empty one of them." -}}
{{- end -}}
{{- include "drillyard.fullname" (dict "root" .root "name" (printf "%s-tls" .name)) -}}
{{- else -}}
{{- $existing -}}
{{- end -}}
{{- end }}
