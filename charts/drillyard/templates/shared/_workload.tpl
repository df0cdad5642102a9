{{/* Deployment of one service or the gateway. Takes root, name, values. */}}
{{- define "drillyard.deployment" -}}
{{- include "drillyard.checkReplicas" . -}}
{{- $secrets := include "drillyard.secrets" . | fromYaml -}}
{{- $shared := include "drillyard.usesVolume" .root -}}
{{- /* A name each, since a server-side apply cannot make one kind of volume of another. */}}
{{- $data := ternary "data" "own-data" (eq $shared "true") -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "drillyard.fullname" . }}
  labels: {{- include "drillyard.labels" . | nindent 4 }}
spec:
  {{- if not (or (kindIs "invalid" .values.replicas) (include "drillyard.autoscaling" .)) }}
  replicas: {{ .values.replicas }}
  {{- end }}
  strategy: {{- include "drillyard.strategy" . | nindent 4 }}
  selector:
    matchLabels: {{- include "drillyard.selector" . | nindent 6 }}
  template:
    metadata:
      labels: {{- include "drillyard.labels" . | nindent 8 }}
    spec:
      serviceAccountName: {{ include "drillyard.fullname" . }}
      automountServiceAccountToken: {{ or (and .root.Values.deployments.enabled (eq .name "registry")) (and (eq .name "trainer") (eq (include "drillyard.trainsInCluster" .root) "true")) }}
      # Variables that Kubernetes makes of other services' names could be taken for settings.
      enableServiceLinks: false
      terminationGracePeriodSeconds: 30
      securityContext:
        runAsNonRoot: true
        runAsUser: 10001
        runAsGroup: 10001
        fsGroup: 10001
        fsGroupChangePolicy: OnRootMismatch
        seccompProfile: {type: RuntimeDefault}
      {{- with .root.Values.image.pullSecrets }}
      imagePullSecrets:
        {{- range . }}
        - name: {{ . }}
        {{- end }}
      {{- end }}
      {{- with include "drillyard.migration" . | trim }}
      initContainers: {{- . | nindent 8 }}
      {{- end }}
      containers:
        - name: {{ .name }}
          image: {{ include "drillyard.ownImage" . | quote }}
          imagePullPolicy: {{ default "IfNotPresent" .root.Values.image.pullPolicy }}
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities: {drop: [ALL]}
          env: {{- include "drillyard.environment" . | nindent 12 }}
          {{- if .root.Values.artifacts.existingSecret }}
          envFrom:
            - secretRef:
                name: {{ .root.Values.artifacts.existingSecret }}
          {{- end }}
          # Server-side apply on older clusters wants each protocol spelled out.
          ports:
            - name: {{ ternary "http" "grpc" (eq .name "gateway") }}
              containerPort: {{ ternary 7860 50051 (eq .name "gateway") }}
              protocol: TCP
            - name: metrics
              containerPort: 9090
              protocol: TCP
          {{- include "drillyard.probes" . | nindent 10 }}
          resources: {{- include "drillyard.resources" . | nindent 12 }}
          volumeMounts:
            - {name: {{ $data }}, mountPath: /data}
            - {name: scratch, mountPath: /tmp}
            {{- range $name, $secret := $secrets }}
            - {name: {{ $name }}, mountPath: /etc/drillyard/{{ $name }}, readOnly: true}
            {{- end }}
            {{- if .values.sharedMemory }}
            - {name: shared-memory, mountPath: /dev/shm}
            {{- end }}
      volumes:
        - name: {{ $data }}
          {{- if $shared }}
          persistentVolumeClaim:
            claimName: {{ .root.Values.storage.existingClaim | default (include "drillyard.fullname" (dict "root" .root "name" "data")) }}
          {{- else }}
          emptyDir: {}
          {{- end }}
        - name: scratch
          emptyDir: {}
        {{- range $name, $secret := $secrets }}
        - name: {{ $name }}
          # The group of fsGroup reads; what changes is read without a restart.
          secret: {secretName: {{ $secret }}, defaultMode: 0440}
        {{- end }}
        {{- with .values.sharedMemory }}
        - name: shared-memory
          emptyDir: {medium: Memory, sizeLimit: {{ . }}}
        {{- end }}
      {{- with include "drillyard.scheduling" . | trim }}{{ . | nindent 6 }}{{ end }}
{{- end }}
