{{/* Refuses a way in that leads nowhere, or past the login. Takes the root. */}}
{{- define "drillyard.checkWayIn" -}}
{{- if empty .Values.authentication.existingSecret -}}
{{- fail "ingress or httpRoute is set, but the gateway asks for no login, so it listens inside its pod only. Set authentication.existingSecret, or take the way in out." -}}
{{- end -}}
{{- if not (hasPrefix "https://" .Values.authentication.outsideUrl) -}}
{{- fail "ingress or httpRoute is set, but authentication.outsideUrl names no https:// address, from which it takes host and path. Set it, such as https://lab.example/drill." -}}
{{- end -}}
{{- end }}

{{/* What both controllers that are built on nginx must know: the gateway bounds bodies itself, and streams its answers. */}}
{{- define "drillyard.ingressAnnotations" -}}
{{- $environment := default dict .Values.services.gateway.env -}}
{{- $bytes := max (int64 (default 67108864 $environment.GATEWAY_MAX_BODY_BYTES)) (int64 (default 67108864 $environment.GATEWAY_MAX_JSON_BYTES)) -}}
nginx.org/client-max-body-size: {{ $bytes | quote }}
nginx.org/proxy-buffering: "False"
nginx.org/proxy-read-timeout: 600s
nginx.ingress.kubernetes.io/proxy-body-size: {{ $bytes | quote }}
nginx.ingress.kubernetes.io/proxy-buffering: "off"
nginx.ingress.kubernetes.io/proxy-read-timeout: "600"
{{- end }}
