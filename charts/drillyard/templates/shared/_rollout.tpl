{{/* How a Deployment replaces its pods, and what a pod asks for. Each takes root, name, values. */}}

{{/* Requests and limits without those that a null takes back; as texts, since an older server applies no number here. */}}
{{- define "drillyard.resources" -}}
{{- $asked := dict -}}
{{- $resources := default (dict) .values.resources -}}
{{- range $part := list "requests" "limits" -}}
{{- $quantities := dict -}}
{{- range $resource, $quantity := default (dict) (index $resources $part) -}}
{{- $text := ternary (printf "%.0f" $quantity) (toString $quantity) (kindIs "float64" $quantity) -}}
{{- if not (kindIs "invalid" $quantity) }}{{ $_ := set $quantities $resource $text }}{{ end -}}
{{- end -}}
{{- if $quantities }}{{ $_ := set $asked $part $quantities }}{{ end -}}
{{- end -}}
{{- with $resources.claims }}{{ $_ := set $asked "claims" . }}{{ end -}}
{{- toYaml $asked -}}
{{- end }}

{{/* "true" if the pod asks for a device: a resource with a domain in its name, such as nvidia.com/gpu, or a claim. */}}
{{- define "drillyard.asksForDevice" -}}
{{- $resources := include "drillyard.resources" . | fromYaml -}}
{{- $devices := list -}}
{{- range $part := list "requests" "limits" -}}
{{- range $resource, $quantity := default (dict) (index $resources $part) -}}
{{- if and (contains "/" $resource) (not (has (toString $quantity) (list "0" ""))) }}{{ $devices = append $devices $resource }}{{ end -}}
{{- end -}}
{{- end -}}
{{- if or $devices .values.resourceClaims }}true{{ end -}}
{{- end }}

{{/* With all its values, so that the chart owns them and takes them away again: the server would refuse them beside Recreate. */}}
{{- define "drillyard.strategy" -}}
{{- $isSqlite := and (empty .root.Values.database.existingSecret) (ne .name "gateway") -}}
{{- $own := default (dict) .values.strategy -}}
{{- $type := default (ternary "Recreate" "RollingUpdate" (empty .root.Values.database.existingSecret)) $own.type -}}
{{- if and (eq $type "Recreate") (include "drillyard.strings" $own.rollingUpdate) -}}
{{- fail (printf "services.%s.strategy.rollingUpdate has no meaning beside Recreate. Set its type to RollingUpdate, or rollingUpdate to null." .name) -}}
{{- end -}}
{{- if and $isSqlite (ne $type "Recreate") -}}
{{- fail (printf "services.%s.strategy is %s, but SQLite allows one process: the new pod would wait for the old one for ever. Set database.existingSecret to the secret of a PostgreSQL URL, or leave the strategy out." .name $type) -}}
{{- end -}}
type: {{ $type }}
{{- if ne $type "Recreate" }}
{{- $steps := default (dict) $own.rollingUpdate }}
{{- $isScarce := include "drillyard.asksForDevice" . }}
rollingUpdate:
  maxSurge: {{ include "drillyard.orElse" (list $steps.maxSurge (ternary 0 "25%" (eq $isScarce "true"))) }}
  maxUnavailable: {{ include "drillyard.orElse" (list $steps.maxUnavailable (ternary 1 "25%" (eq $isScarce "true"))) }}
{{- end }}
{{- end }}

{{/* The first of two, unless it is null; 0 is a value here. */}}
{{- define "drillyard.orElse" -}}
{{- toJson (ternary (last .) (first .) (kindIs "invalid" (first .))) -}}
{{- end }}
