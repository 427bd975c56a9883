{{/* The name of everything in the release. */}}
{{- define "sonda.name" -}}
{{- $whole := contains "sonda" .Release.Name | ternary .Release.Name (print .Release.Name "-sonda") -}}
{{- $whole | trunc 63 | trimSuffix "-" -}}
{{- end }}

{{/* What the Pods are found by. */}}
{{- define "sonda.selector" -}}
app.kubernetes.io/name: sonda
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "sonda.labels" -}}
{{ include "sonda.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{/* The Secret that has the key; an open server is not what a chart makes. */}}
{{- define "sonda.keySecret" -}}
{{- if .Values.apiKey.existingSecret }}{{ .Values.apiKey.existingSecret }}
{{- else if .Values.apiKey.value }}{{ include "sonda.name" . }}
{{- else }}{{ fail "set apiKey.existingSecret, or apiKey.value" }}{{ end }}
{{- end }}
