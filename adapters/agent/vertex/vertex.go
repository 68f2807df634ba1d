// Package vertex is Gemini on Google's Vertex AI as an agent, over its REST API
// with Google's application default credentials.
package vertex

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"

	"agentapi/domain/agent"
	"agentapi/domain/fault"
	"agentapi/ports"
)

// Options configures an Agent.
type Options struct {
	Project     string `yaml:"project" doc:"the Google Cloud project; VERTEX_AI_PROJECT_ID, or the credentials' own if empty"`
	Location    string `yaml:"location" doc:"where the models run, such as us-central1 (if empty) or global; VERTEX_AI_LOCATION"`
	BaseURL     string `yaml:"base_url" doc:"the API's host; Google's for the location if empty"`
	Credentials string `yaml:"credentials" doc:"a file with credentials; Google's application default credentials if empty: GOOGLE_APPLICATION_CREDENTIALS, gcloud's, or the machine's own"`
	Thoughts    bool   `yaml:"thoughts" doc:"ask for summaries of the model's thoughts, which are passed on as reasoning_content"`
}

// SetDefaults fills in what a configuration may leave out.
func (o *Options) SetDefaults() { o.Thoughts = true }

// Validate refuses what cannot work.
func (o *Options) Validate() error {
	for name, v := range map[string]string{"project": o.Project, "location": o.Location} {
		if strings.ContainsAny(v, "/?#% \t\r\n") {
			return fault.Invalidf(name, "invalid_value", "%s: %q cannot be one", name, v)
		}
	}
	if o.BaseURL == "" {
		return nil
	}
	u, err := url.Parse(o.BaseURL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil || u.RawQuery != "" {
		return fault.Invalidf("base_url", "invalid_value", "base_url: it must be http:// or https:// with a host")
	}
	return nil
}

// host is where the API is.
func (o *Options) host() string {
	switch {
	case o.BaseURL != "":
		return strings.TrimSuffix(o.BaseURL, "/")
	case o.Location == "global":
		return "https://aiplatform.googleapis.com"
	default:
		return "https://" + o.Location + "-aiplatform.googleapis.com"
	}
}

// Agent is a ports.Agent. Stop closes its connections.
type Agent struct {
	o      Options
	client *http.Client
	marks  signatures

	mu      sync.Mutex
	source  oauth2.TokenSource // nil until credentials were found
	project string
}

var _ ports.Agent = (*Agent)(nil)

// Open makes an Agent; it looks for no credentials and dials nothing.
func Open(o Options) (*Agent, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o.Location = cmp.Or(o.Location, "us-central1")
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DisableCompression, t.MaxIdleConnsPerHost = true, 64
	return &Agent{o: o, client: &http.Client{Transport: t}, project: o.Project}, nil
}

// Stop closes idle connections.
func (a *Agent) Stop(context.Context) error {
	a.client.CloseIdleConnections()
	return nil
}

// Capabilities says what Gemini honours.
func (a *Agent) Capabilities() agent.Capabilities {
	return agent.Capabilities{
		Tools: true, Media: true, Schema: true, MaxTokens: true,
		Sampling: "temperature top_p presence_penalty frequency_penalty seed reasoning_effort",
	}
}

// Models says nothing: they are configured.
func (a *Agent) Models(context.Context) ([]agent.Model, error) { return nil, nil }

// Probe tells whether there are credentials and a project.
func (a *Agent) Probe(ctx context.Context) error {
	_, _, err := a.token(ctx)
	return err
}

// scope is what a token must be good for.
const scope = "https://www.googleapis.com/auth/cloud-platform"

// token gives a token, kept until shortly before it expires, and the project.
func (a *Agent) token(ctx context.Context) (token, project string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.source == nil {
		if err := a.find(ctx); err != nil {
			return "", "", err
		}
	}
	t, err := a.source.Token()
	if err != nil {
		return "", "", fault.Wrap(fault.Unavailable, err, "Google gives no token for the agent's credentials.").WithCode("agent_unavailable").
			WithHint("Check the credentials: gcloud auth application-default login, or a service account in GOOGLE_APPLICATION_CREDENTIALS.")
	}
	return t.AccessToken, a.project, nil
}

// tokenLimit is how long Google may take to give a token.
const tokenLimit = 10 * time.Second

// find looks for credentials.
func (a *Agent) find(ctx context.Context) error {
	// Tokens are fetched for all callers, whoever is the first.
	ctx = context.WithValue(context.WithoutCancel(ctx), oauth2.HTTPClient, &http.Client{Transport: a.client.Transport, Timeout: tokenLimit})
	var (
		found *google.Credentials
		err   error
	)
	if a.o.Credentials != "" {
		found, err = fromFile(ctx, a.o.Credentials)
	} else {
		found, err = google.FindDefaultCredentials(ctx, scope)
	}
	if err != nil {
		return fault.Wrap(fault.Unavailable, err, "There are no Google credentials for the agent.").WithCode("agent_unavailable").
			WithHint("Run gcloud auth application-default login, or set GOOGLE_APPLICATION_CREDENTIALS to a service account's file.")
	}
	if a.project == "" {
		a.project = found.ProjectID
	}
	if a.project == "" {
		return fault.New(fault.Unavailable, "The agent has no Google Cloud project.").WithCode("agent_unavailable").
			WithHint("Set the agent's vertex.project, or VERTEX_AI_PROJECT_ID.")
	}
	a.source = oauth2.ReuseTokenSource(nil, found.TokenSource)
	return nil
}
