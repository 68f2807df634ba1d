{{- define "agentapi.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "agentapi.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "agentapi.labels" -}}
{{ include "agentapi.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "agentapi.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "agentapi.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "agentapi.image" -}}
{{- $tag := default .Chart.AppVersion .Values.image.tag -}}
{{- if hasPrefix "sha256:" $tag -}}
{{- printf "%s@%s" .Values.image.repository $tag -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository $tag -}}
{{- end -}}
{{- end -}}

{{- define "agentapi.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "agentapi.security" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- /* What the server is told besides its configuration. */ -}}
{{- define "agentapi.env" -}}
- {name: AGENTAPI_CONFIG, value: /etc/agentapi/agentapi.yaml}
- {name: AGENTAPI_DATA_DIR, value: /data}
- {name: TMPDIR, value: /work}
{{- with .Values.env }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "agentapi.mounts" -}}
- {name: config, mountPath: /etc/agentapi, readOnly: true}
- {name: work, mountPath: /work}
- {name: data, mountPath: /data}
{{- if .Values.audit.existingSecret }}
- {name: audit, mountPath: /etc/agentapi-audit, readOnly: true}
{{- end }}
{{- with .Values.volumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "agentapi.volumes" -}}
- name: work
  emptyDir: {sizeLimit: {{ .Values.work.sizeLimit }}}
- name: data
  emptyDir: {sizeLimit: {{ .Values.work.sizeLimit }}}
{{- with .Values.audit.existingSecret }}
- name: audit
  secret:
    secretName: {{ . }}
    defaultMode: 0400    # and the pod's group, fsGroup, may read it
    items: [{key: {{ $.Values.audit.key }}, path: audit.pem}]
{{- end }}
{{- with .Values.volumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "agentapi.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- if .Values.audit.existingSecret -}}
{{- $_ := set $config "audit" (mergeOverwrite (dict "key_file" "/etc/agentapi-audit/audit.pem") (default dict $config.audit)) -}}
{{- end -}}
{{- if .Values.metrics.enabled -}}
{{- $_ := set $config "telemetry" (mergeOverwrite (dict "listen" (printf "0.0.0.0:%d" (int .Values.metrics.port)) "metrics" (dict "enabled" true)) (default dict $config.telemetry)) -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}
