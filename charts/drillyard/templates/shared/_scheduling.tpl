{{/* Where the pods of one service or the gateway may run. Takes root, name, values. */}}
{{- define "drillyard.scheduling" -}}
{{- if and (include "drillyard.usesVolume" .root) (ne (default "ReadWriteOnce" .root.Values.storage.accessMode) "ReadWriteMany") }}
affinity:
  # A ReadWriteOnce volume is attached to one node; the first pod picks it and the others follow.
  podAffinity:
    requiredDuringSchedulingIgnoredDuringExecution:
      - topologyKey: kubernetes.io/hostname
        labelSelector:
          matchLabels: {{- include "drillyard.group" . | nindent 12 }}
{{- else }}
{{- with default dict .root.Values.topologySpread }}
{{- with .keys }}
topologySpreadConstraints:
  {{- range . }}
  - topologyKey: {{ . }}
    maxSkew: 1
    whenUnsatisfiable: {{ default "ScheduleAnyway" $.root.Values.topologySpread.whenUnsatisfiable }}
    labelSelector:
      matchLabels: {{- include "drillyard.selector" $ | nindent 8 }}
  {{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- with .values.resourceClaims }}
resourceClaims: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- with include "drillyard.strings" .values.nodeSelector }}
nodeSelector: {{- . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
