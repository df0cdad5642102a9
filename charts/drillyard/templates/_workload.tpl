{{/* Deployment of one service or the gateway. Takes root, name, values. */}}
{{- define "drillyard.deployment" -}}
{{- include "drillyard.checkReplicas" . -}}
{{- $shared := include "drillyard.usesVolume" .root -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "drillyard.fullname" . }}
  labels: {{- include "drillyard.labels" . | nindent 4 }}
spec:
  replicas: {{ .values.replicas }}
  strategy:
    type: {{ ternary "Recreate" "RollingUpdate" (empty .root.Values.database.existingSecret) }}
  selector:
    matchLabels: {{- include "drillyard.selector" . | nindent 6 }}
  template:
    metadata:
      labels: {{- include "drillyard.labels" . | nindent 8 }}
    spec:
      serviceAccountName: {{ include "drillyard.fullname" . }}
      automountServiceAccountToken: false
      terminationGracePeriodSeconds: 30
      securityContext:
        runAsNonRoot: true
        runAsUser: 10001
        runAsGroup: 10001
        fsGroup: 10001
        seccompProfile: {type: RuntimeDefault}
      {{- with .root.Values.image.pullSecrets }}
      imagePullSecrets:
        {{- range . }}
        - name: {{ . }}
        {{- end }}
      {{- end }}
      containers:
        - name: {{ .name }}
          image: {{ include "drillyard.image" . | quote }}
          imagePullPolicy: {{ .root.Values.image.pullPolicy }}
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities: {drop: [ALL]}
          env: {{- include "drillyard.environment" . | nindent 12 }}
          {{- with .root.Values.artifacts.existingSecret }}
          envFrom:
            - secretRef:
                name: {{ . }}
          {{- end }}
          ports:
            - name: {{ ternary "http" "grpc" (eq .name "gateway") }}
              containerPort: {{ ternary 7860 50051 (eq .name "gateway") }}
            - name: metrics
              containerPort: 9090
          {{- include "drillyard.probes" . | nindent 10 }}
          resources: {{- toYaml .values.resources | nindent 12 }}
          volumeMounts:
            - {name: data, mountPath: /data}
            - {name: scratch, mountPath: /tmp}
            - {name: shared-memory, mountPath: /dev/shm}
      volumes:
        - name: data
          {{- if $shared }}
          persistentVolumeClaim:
            claimName: {{ .root.Values.storage.existingClaim | default (include "drillyard.fullname" (dict "root" .root "name" "data")) }}
          {{- else }}
          emptyDir: {}
          {{- end }}
        - name: scratch
          emptyDir: {}
        - name: shared-memory
          emptyDir: {medium: Memory}
      {{- with .values.runtimeClassName }}
      runtimeClassName: {{ . }}
      {{- end }}
      {{- with .values.nodeSelector }}
      nodeSelector: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .values.tolerations }}
      tolerations: {{- toYaml . | nindent 8 }}
      {{- end }}
{{- end }}
