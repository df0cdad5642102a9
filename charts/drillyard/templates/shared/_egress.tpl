{{/* Egress rules of a pod that reaches DNS, the services it calls, and named destinations alone. */}}
{{- define "drillyard.egress" -}}
{{- $root := .root -}}
- ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
{{- range .called }}
- ports:
    - {port: 50051, protocol: TCP}
  to:
    - podSelector:
        matchLabels: {{- include "drillyard.selector" (dict "root" $root "name" .) | nindent 10 }}
{{- end }}
{{- range .destinations }}
- ports:
    {{- range .ports }}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
  to:
    {{- if .cidr }}
    - ipBlock: {cidr: {{ .cidr | quote }}}
    {{- else }}
    - namespaceSelector:
        matchLabels: {kubernetes.io/metadata.name: {{ .namespace }}}
    {{- end }}
{{- end }}
{{- end }}
