{{/* The step that brings a service's PostgreSQL database to its schema before it starts: replicas take turns, and no probe
     ends it half-way. Takes root, name, values. */}}
{{- define "drillyard.migration" -}}
{{- if and .root.Values.database.existingSecret (ne .name "gateway") }}
- name: migrate
  image: {{ include "drillyard.ownImage" . | quote }}
  imagePullPolicy: {{ default "IfNotPresent" .root.Values.image.pullPolicy }}
  command: [python, -m, services.migrate, {{ .name | replace "-" "_" }}]
  env:
    - name: {{ include "drillyard.prefix" . }}_DATABASE_URL
      valueFrom:
        secretKeyRef: {name: {{ .root.Values.database.existingSecret }}, key: {{ .name }}}
  securityContext:
    allowPrivilegeEscalation: false
    readOnlyRootFilesystem: true
    capabilities: {drop: [ALL]}
  resources:
    requests: {cpu: 100m, memory: 128Mi}
    limits: {memory: 512Mi}
  volumeMounts:
    - {name: scratch, mountPath: /tmp}
{{- end }}
{{- end }}
