{{/* How something else than the chart sets a service's number of pods, as YAML; empty: it does not. Takes root, name, values. */}}
{{- define "drillyard.autoscaling" -}}
{{- $own := default dict .values.autoscaling -}}
{{- if $own -}}
{{- $path := printf "services.%s.autoscaling" .name -}}
{{- if not (has .name (list "test-runner" "evaluator" "feedback")) -}}
{{- fail (printf "%s is set, but only test-runner, evaluator and feedback share their work among replicas. Take it out, or set replicas." $path) -}}
{{- end -}}
{{- if empty .root.Values.database.existingSecret -}}
{{- fail (printf "%s is set, but SQLite allows one replica. Set database.existingSecret to the secret of a PostgreSQL URL, or take it out." $path) -}}
{{- end -}}
{{- if eq (empty $own.cpuPercent) (empty $own.queueAgeSeconds) -}}
{{- fail (printf "%s needs one of cpuPercent and queueAgeSeconds: what more pods shall keep down." $path) -}}
{{- end -}}
{{- if lt (int $own.maxReplicas) (int (default 1 $own.minReplicas)) -}}
{{- fail (printf "%s.maxReplicas is %d, less than the least number of pods. Raise it, or lower minReplicas." $path (int $own.maxReplicas)) -}}
{{- end -}}
{{- if and $own.queueAgeSeconds (empty (get (default dict .root.Values.autoscaling) "prometheusUrl")) -}}
{{- fail (printf "%s.queueAgeSeconds is read from Prometheus by KEDA. Set autoscaling.prometheusUrl, or scale by cpuPercent." $path) -}}
{{- end -}}
{{- toYaml $own -}}
{{- end -}}
{{- end }}
