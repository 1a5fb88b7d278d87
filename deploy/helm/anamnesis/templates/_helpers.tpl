{{/* SPDX-License-Identifier: Apache-2.0 */}}
{{- define "anamnesis.fullname" -}}
{{- if contains "anamnesis" .Release.Name }}{{ .Release.Name | trunc 30 | trimSuffix "-" }}
{{- else }}{{ printf "%s-anamnesis" .Release.Name | trunc 30 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "anamnesis.image" -}}
{{ required "image.repository: the image with the programs of Anamnesis" .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "anamnesis.selector" -}}
app.kubernetes.io/name: anamnesis-coordinator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "anamnesis.labels" -}}
{{ include "anamnesis.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: coordinator
app.kubernetes.io/part-of: anamnesis
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{/* The labels that the coordinator gives to the pods of its jobs. */}}
{{- define "anamnesis.workerSelector" -}}
app.kubernetes.io/name: anamnesis-worker
app.kubernetes.io/instance: {{ include "anamnesis.fullname" . }}
{{- end }}

{{- define "anamnesis.dataClaim" -}}
{{ .Values.data.existingClaim | default (printf "%s-data" (include "anamnesis.fullname" .)) }}
{{- end }}

{{- define "anamnesis.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ .Values.user }}
runAsGroup: {{ .Values.group }}
fsGroup: {{ .Values.group }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "anamnesis.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}
