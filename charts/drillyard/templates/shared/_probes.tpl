{{/* Probes of one container, switched by probes.type. The gateway, and services that ask for a certificate, which a kubelet
     does not have, answer on their metrics port. What the server would fill in is written: it belonged to nobody, and would
     stay beside another kind of probe. Takes root, name. */}}
{{- define "drillyard.probes" -}}
{{- $type := default "grpc" .root.Values.probes.type -}}
{{- if ne $type "none" }}
{{- range $probe, $setting := dict "startupProbe" (list 2 60 "") "readinessProbe" (list 10 3 "") "livenessProbe" (list 20 3 "liveness") }}
{{ $probe }}:
  periodSeconds: {{ index $setting 0 }}
  failureThreshold: {{ index $setting 1 }}
  timeoutSeconds: 3
  {{- if or (eq $.name "gateway") (include "drillyard.tlsSecret" $) }}
  httpGet:
    path: {{ ternary "/health/live" "/health/ready" (eq $probe "livenessProbe") }}
    port: metrics
    scheme: HTTP
  {{- else if eq $type "tcp" }}
  tcpSocket:
    port: grpc
  {{- else }}
  grpc:
    port: 50051
    service: {{ index $setting 2 | quote }}
  {{- end }}
{{- end }}
{{- end }}
{{- end }}
