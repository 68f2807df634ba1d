package check

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"sigs.k8s.io/yaml"
)

func TestTheComposeFileRunsAServerThatMayDoLittle(t *testing.T) {
	var file struct {
		Name     string
		Services map[string]struct {
			Image           string
			ReadOnly        bool           `json:"read_only"`
			CapDrop         []string       `json:"cap_drop"`
			StopGracePeriod string         `json:"stop_grace_period"`
			Command         []string       `json:"command"`
			Ports           []string       `json:"ports"`
			Volumes         []string       `json:"volumes"`
			Environment     map[string]any `json:"environment"`
			DependsOn       map[string]any `json:"depends_on"`
		}
		Volumes map[string]any
	}
	text := read(t, "compose", "docker-compose.yml")
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	for name, s := range file.Services {
		if s.Image == "" || !strings.Contains(s.Image, ":") || strings.HasSuffix(s.Image, ":latest") {
			t.Errorf("%s runs %q, of no fixed version", name, s.Image)
		}
		for _, p := range s.Ports {
			if !strings.HasPrefix(p, "127.0.0.1:") {
				t.Errorf("%s is open to the network: %s", name, p)
			}
		}
		for d := range s.DependsOn {
			if _, ok := file.Services[d]; !ok {
				t.Errorf("%s waits for %s, which there is not", name, d)
			}
		}
		for _, v := range s.Volumes {
			from, _, _ := strings.Cut(v, ":")
			if strings.HasPrefix(from, ".") {
				if found, _ := filepath.Glob(filepath.Join(deploy, "compose", from)); len(found) == 0 {
					t.Errorf("%s mounts %s, which there is not", name, from)
				}
			} else if _, ok := file.Volumes[from]; !ok {
				t.Errorf("%s has the volume %s, which is not declared", name, from)
			}
		}
		for key, value := range s.Environment {
			if v, _ := value.(string); regexp.MustCompile("KEY|TOKEN|PASSWORD|PEPPER").MatchString(key) && !strings.HasPrefix(v, "${") {
				t.Errorf("%s has %s in plain text", name, key)
			}
		}
	}
	if s := file.Services["agentapi"]; !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || s.StopGracePeriod != "120s" {
		t.Errorf("the server is %+v", s)
	}
	example := string(read(t, "compose", ".env.example"))
	for _, m := range regexp.MustCompile(`\$\{(\w+)`).FindAllStringSubmatch(string(text), -1) {
		if !strings.Contains(example, "\n"+m[1]+"=\n") {
			t.Errorf(".env.example does not name %s", m[1])
		}
	}
	checkConfig(t, string(read(t, "compose", "agentapi.yaml")))
}

func TestSystemdTakesTheUnit(t *testing.T) {
	text := string(read(t, "systemd", "agentapi.service"))
	for _, line := range []string{"Type=exec", "ExecReload=/bin/kill -HUP $MAINPID", "TimeoutStopSec=120", "KillMode=mixed", "DynamicUser=yes", "NoNewPrivileges=yes"} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("the unit has no %s", line)
		}
	}
	verify, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Fatal("systemd-analyze is not installed; install it with: apt-get install -y systemd")
	}
	// Verified where its program is another that there is.
	unit := filepath.Join(t.TempDir(), "agentapi.service")
	write(t, unit, strings.Replace(text, "/usr/local/bin/agentapi", "/bin/true", 1))
	out, err := exec.CommandContext(t.Context(), verify, "verify", "--man=no", unit).CombinedOutput()
	if err != nil || strings.Contains(string(out), "agentapi.service") {
		t.Errorf("%v: %s", err, out)
	}
}

// Commands and checks of platforms are those that the program has.
func TestPlatformsMigrateFirstAndAskForReadiness(t *testing.T) {
	var render struct {
		Services []struct {
			Type, Name, Runtime, Plan string
			DockerfilePath            string
			HealthCheckPath           string
			PreDeployCommand          string
			MaxShutdownDelaySeconds   int
			IPAllowList               []any            `json:"ipAllowList"`
			EnvVars                   []map[string]any `json:"envVars"`
		}
		Databases []map[string]any
	}
	if err := yaml.UnmarshalStrict(read(t, "paas", "render.yaml"), &render); err != nil {
		t.Fatal(err)
	}
	if s := render.Services[0]; s.HealthCheckPath != "/readyz" || s.PreDeployCommand != "/agentapi migrate up" || s.MaxShutdownDelaySeconds <= 118 {
		t.Errorf("render.yaml: %+v", s)
	}
	var railway struct {
		Deploy struct {
			PreDeployCommand []string
			StartCommand     string
			HealthcheckPath  string
			DrainingSeconds  int
		}
	}
	if err := json.Unmarshal(read(t, "paas", "railway.json"), &railway); err != nil {
		t.Fatal(err)
	}
	if d := railway.Deploy; d.HealthcheckPath != "/readyz" || !slices.Equal(d.PreDeployCommand, []string{"/agentapi migrate up"}) || d.DrainingSeconds <= 118 {
		t.Errorf("railway.json: %+v", d)
	}
	var fly struct {
		KillTimeout string `toml:"kill_timeout"`
		Deploy      struct {
			ReleaseCommand string `toml:"release_command"`
		}
		HTTP struct {
			InternalPort int    `toml:"internal_port"`
			AutoStop     string `toml:"auto_stop_machines"`
			Checks       []struct{ Path string }
		} `toml:"http_service"`
	}
	if err := toml.Unmarshal(read(t, "paas", "fly.toml"), &fly); err != nil {
		t.Fatal(err)
	}
	if fly.KillTimeout != "120s" || fly.Deploy.ReleaseCommand != "migrate up" || fly.HTTP.InternalPort != 3284 || fly.HTTP.AutoStop != "off" || len(fly.HTTP.Checks) != 1 || fly.HTTP.Checks[0].Path != "/readyz" {
		t.Errorf("fly.toml: %+v", fly)
	}
}

// The images' programs are pinned, and they run as nobody who may do anything. Without
// a target the server alone is built.
func TestTheImagesArePinnedAndRunAsNobody(t *testing.T) {
	text := string(read(t, "..", "..", "Dockerfile"))
	stages := map[string]string{}
	last := ""
	for _, stage := range strings.Split("\n"+text, "\nFROM ")[1:] {
		from, _, _ := strings.Cut(stage, "\n")
		words := strings.Fields(from)
		if words[0] != "scratch" && !regexp.MustCompile(`:\d+\.\d+\.\d+`).MatchString(words[0]) {
			t.Errorf("the image %s is of no fixed version", words[0])
		}
		last = words[len(words)-1]
		stages[last] = stage
	}
	if len(stages) != 3 || last != "scratch" {
		t.Errorf("the stages are %d, the last one %s", len(stages), last)
	}
	for _, name := range []string{"agents", "scratch"} {
		for _, line := range []string{"USER 65532:65532", `ENTRYPOINT ["/agentapi"]`, `CMD ["serve"]`, `HEALTHCHECK --interval=10s --timeout=5s --start-period=5s CMD ["/agentapi", "healthcheck"]`} {
			if !strings.Contains(stages[name], "\n"+line) {
				t.Errorf("the image %s has no %s", name, line)
			}
		}
	}
	for driver, pkg := range map[string]string{"ccr": "@musistudio/claude-code-router", "droid": "droid"} {
		source := string(read(t, "..", "..", "adapters", "agent", driver, driver+".go"))
		m := regexp.MustCompile(`(?m)^const Tested = "(.+)"$`).FindStringSubmatch(source)
		if m == nil || !strings.Contains(stages["agents"], " "+pkg+"@"+m[1]+" ") {
			t.Errorf("%s is not of the version that is tested: %q", pkg, m)
		}
	}
	if installs := strings.Count(stages["agents"], "npm install"); installs != 1 || strings.Contains(stages["scratch"], "RUN") {
		t.Errorf("%d times something is installed", installs)
	}
}
