package check

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	apps "k8s.io/api/apps/v1"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// matrix are values with which the chart is rendered, and what must be there.
var matrix = []struct {
	name, values string
	has, lacks   []string
}{
	{"as it comes", "", []string{"Deployment/agentapi", "PodDisruptionBudget/agentapi", "Job/agentapi-migrate", "Service/agentapi", "ServiceAccount/agentapi", "ConfigMap/agentapi"}, []string{"Ingress/agentapi", "HorizontalPodAutoscaler/agentapi"}},
	{"alone with SQLite", "{replicas: 1, existingSecret: '', config: {storage: {driver: sqlite}, cache: {driver: memory}, identity: {chain: [dev, apikey]}}, podDisruptionBudget: {enabled: false}, metrics: {enabled: false}}", nil, []string{"Job/agentapi-migrate", "PodDisruptionBudget/agentapi"}},
	{"scaled", "{autoscaling: {enabled: true, streams: 200}, image: {repository: registry.example/agentapi, tag: 'sha256:abc'}}", []string{"HorizontalPodAutoscaler/agentapi"}, nil},
	{"behind an ingress", "{ingress: {enabled: true, className: nginx, hosts: [agents.example], tls: [{secretName: tls, hosts: [agents.example]}]}}", []string{"Ingress/agentapi"}, nil},
	{"behind a gateway", "{httpRoute: {enabled: true, parentRefs: [{name: outside}], hostnames: [agents.example]}}", []string{"HTTPRoute/agentapi"}, nil},
	{"watched", "{metrics: {serviceMonitor: {enabled: true, labels: {release: prometheus}}, rules: {enabled: true}, dashboard: {enabled: true}}}", []string{"ServiceMonitor/agentapi", "PrometheusRule/agentapi", "ConfigMap/agentapi-dashboard"}, nil},
	{"fenced in", "{networkPolicy: {enabled: true, from: [{namespaceSelector: {}}], metricsFrom: [{podSelector: {}}]}, nodeSelector: {pool: agents}, tolerations: [{key: agents, operator: Exists}], affinity: {podAntiAffinity: {}}, podLabels: {team: a}, podAnnotations: {note: b}}", []string{"NetworkPolicy/agentapi"}, nil},
	{"with secrets from outside", "{externalSecret: {enabled: true, store: {name: vault}, key: agentapi}, serviceAccount: {automount: true, annotations: {iam.gke.io/gcp-service-account: a@b.example}}, imagePullSecrets: [{name: pull}], env: [{name: LOG_LEVEL, value: debug}]}", []string{"ExternalSecret/agentapi"}, nil},
	{"with the audit log's key", "{audit: {existingSecret: agentapi-audit, key: signing.pem}}", []string{"Deployment/agentapi", "ConfigMap/agentapi"}, nil},
	{"under another name", "{fullnameOverride: other}", []string{"Deployment/other", "Job/other-migrate"}, nil},
}

func TestTheChartGivesWhatKubernetesTakesForAnyValues(t *testing.T) {
	for _, m := range matrix {
		t.Run(m.name, func(t *testing.T) {
			text, err := render(t, m.values)
			if err != nil {
				t.Fatal(err)
			}
			objects := decode(t, text)
			for _, key := range m.has {
				if objects[key] == nil {
					t.Errorf("there is no %s", key)
				}
			}
			for _, key := range m.lacks {
				if objects[key] != nil {
					t.Errorf("there is a %s", key)
				}
			}
			for key, object := range objects {
				switch o := object.(type) {
				case *apps.Deployment:
					checkDeployment(t, o)
				case *batch.Job:
					checkPod(t, key, o.Spec.Template.Spec)
					if hook := o.Annotations["helm.sh/hook"]; hook != "pre-install,pre-upgrade" {
						t.Errorf("%s runs at %q", key, hook)
					}
				case *core.Pod:
					checkPod(t, key, o.Spec)
				case *core.ConfigMap:
					if text, ok := o.Data["agentapi.yaml"]; ok {
						checkConfig(t, text)
					}
				}
			}
			if strings.Contains(text, "kind: Secret\n") {
				t.Error("the chart makes a Secret: its values would be in the release")
			}
		})
	}
}

// The server takes the key of a mounted Secret as Kubernetes gives it: root's, and
// readable by the pod's group.
func TestTheAuditLogsKeyComesFromASecret(t *testing.T) {
	text, err := render(t, "{audit: {existingSecret: signing, key: ed25519.pem}, config: {audit: {checkpoints: {every: 1m}}}}")
	if err != nil {
		t.Fatal(err)
	}
	objects := decode(t, text)
	p := objects["Deployment/agentapi"].(*apps.Deployment).Spec.Template.Spec
	if p.SecurityContext.FSGroup == nil || *p.SecurityContext.FSGroup != 65532 {
		t.Errorf("the server's group is not the volumes': %+v", p.SecurityContext)
	}
	v := p.Volumes[slices.IndexFunc(p.Volumes, func(v core.Volume) bool { return v.Name == "audit" })]
	if s := v.Secret; s == nil || s.SecretName != "signing" || s.DefaultMode == nil || *s.DefaultMode != 0o400 || !slices.Equal(s.Items, []core.KeyToPath{{Key: "ed25519.pem", Path: "audit.pem"}}) {
		t.Errorf("the volume is %+v", v)
	}
	m := p.Containers[0].VolumeMounts
	if at := m[slices.IndexFunc(m, func(m core.VolumeMount) bool { return m.Name == "audit" })]; at.MountPath != "/etc/agentapi-audit" || !at.ReadOnly {
		t.Errorf("it is mounted as %+v", at)
	}
	var c struct {
		Audit struct {
			KeyFile     string `json:"key_file"`
			Checkpoints struct{ Every string }
		}
	}
	if err := yaml.Unmarshal([]byte(objects["ConfigMap/agentapi"].(*core.ConfigMap).Data["agentapi.yaml"]), &c); err != nil || c.Audit.KeyFile != "/etc/agentapi-audit/audit.pem" || c.Audit.Checkpoints.Every != "1m" {
		t.Errorf("the configuration says %+v, %v", c.Audit, err)
	}
}

// What an operator mounts is there for the server and for the migration.
func TestFurtherVolumesAreMounted(t *testing.T) {
	text, err := render(t, "{volumes: [{name: worm, persistentVolumeClaim: {claimName: kept}}], volumeMounts: [{name: worm, mountPath: /worm}]}")
	if err != nil {
		t.Fatal(err)
	}
	objects := decode(t, text)
	for name, p := range map[string]core.PodSpec{
		"the server":    objects["Deployment/agentapi"].(*apps.Deployment).Spec.Template.Spec,
		"the migration": objects["Job/agentapi-migrate"].(*batch.Job).Spec.Template.Spec,
	} {
		if v := p.Volumes[len(p.Volumes)-1]; v.Name != "worm" || v.PersistentVolumeClaim == nil || v.PersistentVolumeClaim.ClaimName != "kept" {
			t.Errorf("the last volume of %s is %+v", name, v)
		}
		if m := p.Containers[0].VolumeMounts; m[len(m)-1].Name != "worm" || m[len(m)-1].MountPath != "/worm" {
			t.Errorf("%s mounts %+v", name, m)
		}
	}
	for _, values := range []string{"{volumes: [{name: data, emptyDir: {}}]}", "{volumeMounts: [{name: worm, mountPath: worm}]}"} {
		if _, err := render(t, values); err == nil {
			t.Errorf("taken: %s", values)
		}
	}
}

func checkPod(t *testing.T, key string, p core.PodSpec) {
	t.Helper()
	if p.EnableServiceLinks == nil || *p.EnableServiceLinks {
		t.Errorf("%s: the Service's variables, such as AGENTAPI_PORT, would stop the start", key)
	}
	s := p.SecurityContext
	if s == nil || s.RunAsNonRoot == nil || !*s.RunAsNonRoot || s.RunAsUser == nil || *s.RunAsUser != 65532 || s.SeccompProfile == nil || s.SeccompProfile.Type != core.SeccompProfileTypeRuntimeDefault {
		t.Errorf("%s: the pod's security context is %+v", key, s)
	}
	for _, c := range p.Containers {
		s := c.SecurityContext
		if s == nil || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem || s.Capabilities == nil || !slices.Equal(s.Capabilities.Drop, []core.Capability{"ALL"}) {
			t.Errorf("%s/%s: the security context is %+v", key, c.Name, s)
		}
		if c.Resources.Requests.Cpu().IsZero() || c.Resources.Requests.Memory().IsZero() || c.Resources.Limits.Memory().IsZero() {
			t.Errorf("%s/%s: the resources are %+v", key, c.Name, c.Resources)
		}
		for _, e := range c.Env {
			for _, word := range []string{"KEY", "TOKEN", "SECRET", "PASSWORD", "PEPPER", "_URL"} {
				if strings.Contains(e.Name, word) && e.Value != "" {
					t.Errorf("%s/%s: %s is in plain text", key, c.Name, e.Name)
				}
			}
		}
	}
	for _, v := range p.Volumes {
		if v.EmptyDir != nil && v.EmptyDir.SizeLimit.IsZero() {
			t.Errorf("%s: the volume %s has no limit", key, v.Name)
		}
	}
}

func checkDeployment(t *testing.T, d *apps.Deployment) {
	t.Helper()
	p := d.Spec.Template.Spec
	checkPod(t, "Deployment", p)
	c := p.Containers[0]
	for name, probe := range map[string]struct {
		is   *core.Probe
		path string
	}{"startup": {c.StartupProbe, "/livez"}, "liveness": {c.LivenessProbe, "/livez"}, "readiness": {c.ReadinessProbe, "/readyz"}} {
		if probe.is == nil || probe.is.HTTPGet == nil || probe.is.HTTPGet.Path != probe.path || probe.is.HTTPGet.Port.String() != "http" {
			t.Errorf("the %s probe is %+v", name, probe.is)
		}
	}
	if p.TerminationGracePeriodSeconds == nil || time.Duration(*p.TerminationGracePeriodSeconds)*time.Second <= 118*time.Second {
		t.Errorf("the pod is killed after %v s, before the server's stop has ended", p.TerminationGracePeriodSeconds)
	}
	if d.Spec.Template.Annotations["checksum/config"] == "" {
		t.Error("a new configuration starts no new pods")
	}
	if len(p.TopologySpreadConstraints) == 0 {
		t.Error("all pods may be on one node")
	}
}

// program is the server, built once.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "agentapi-check-")
	if err != nil {
		return "", err
	}
	out := filepath.Join(dir, "agentapi")
	cmd := exec.Command("go", "build", "-o", out, "./bootstrap/agentapi")
	cmd.Dir = root
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, text)
	}
	return out, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := program(); err == nil {
		_ = os.RemoveAll(filepath.Dir(path)) // a folder for what is temporary
	}
	os.Exit(code)
}

// checkConfig has the server itself check a configuration.
func checkConfig(t *testing.T, text string) {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "agentapi.yaml")
	write(t, file, text)
	cmd := exec.CommandContext(t.Context(), path, "config", "validate", file)
	cmd.Dir = t.TempDir()
	cmd.Env = []string{"HOME=" + cmd.Dir, "AGENTAPI_DATA_DIR=" + cmd.Dir, "DATABASE_URL=postgres://agentapi_server:x@db.example/db", "REDIS_URL=redis://cache.example", "OIDC_ISSUER=https://id.example", "OIDC_AUDIENCE=agents"}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s\n%s", err, out, text)
	}
}

func TestBadValuesAreRefusedWithTheirReason(t *testing.T) {
	for _, tt := range []struct{ name, values, want string }{
		{"an unknown value", "{replica: 2}", "replica"},
		{"a value of another type", "{replicas: many}", "replicas"},
		{"no replica", "{replicas: 0}", "replicas"},
		{"limits without memory", "{resources: {limits: {memory: null}}}", "memory"},
		{"a secret in plain text", "{env: [{name: OPENAI_API_KEY, value: sk-1}]}", "env"},
		{"a port that the probes do not ask", "{config: {server: {addr: '0.0.0.0:80'}}}", "addr"},
		{"a pod that is killed too early", "{terminationGracePeriodSeconds: 30}", "answers would be cut off"},
		{"several servers on one file", "{config: {storage: {driver: sqlite}}}", "one replica only"},
		{"an ingress for no host", "{ingress: {enabled: true}}", "names no host"},
		{"a key of the audit log that is no name", "{audit: {key: ../audit.pem}}", "audit"},
		{"a route of no gateway", "{httpRoute: {enabled: true}}", "names no gateway"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := render(t, tt.values); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// The manifests for kubectl apply -k are the chart as it comes.
func TestThePlainManifestsAreTheChart(t *testing.T) {
	want, err := render(t, "{metrics: {dashboard: {enabled: false}}}")
	if err != nil {
		t.Fatal(err)
	}
	var kept []string
	for _, text := range strings.Split("\n"+want, "\n---\n") {
		if strings.TrimSpace(text) == "" || strings.Contains(text, "helm.sh/hook: test") {
			continue
		}
		kept = append(kept, strings.TrimSpace(text)+"\n")
	}
	want = "# Rendered from ../helm/agentapi; AGENTAPI_RENDER=1 go test ./configs/deploy/check renders it anew.\n---\n" + strings.Join(kept, "---\n")
	file := filepath.Join(deploy, "k8s", "agentapi.yaml")
	if os.Getenv("AGENTAPI_RENDER") != "" {
		write(t, file, want)
	}
	got := read(t, "k8s", "agentapi.yaml")
	if string(got) != want {
		t.Error("k8s/agentapi.yaml is not what the chart gives; in configs/deploy/check run: AGENTAPI_RENDER=1 go test -run Plain .")
	}
	decode(t, strings.TrimPrefix(string(got), strings.SplitN(string(got), "\n", 2)[0]))
	var k struct {
		APIVersion, Kind, Namespace string
		Resources                   []string
	}
	if err := yaml.UnmarshalStrict(read(t, "k8s", "kustomization.yaml"), &k); err != nil || !slices.Equal(k.Resources, []string{"agentapi.yaml"}) {
		t.Errorf("kustomization.yaml: %+v, %v", k, err)
	}
}
