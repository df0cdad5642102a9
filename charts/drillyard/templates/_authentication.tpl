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
