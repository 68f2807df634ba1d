package kit

import (
	"bufio"
	"crypto/rand"
	"crypto/rsa"
	_ "embed"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

//go:embed certified.mjs
var certified []byte

// Certified is a certified provider of logins in its real version. Its access
// tokens are for the audience https://agents.example and of the organisation
// org_1, whose administrator everybody is; people log in by the client
// agentapi-cli, the program robot with a secret of its own.
type Certified struct {
	URL string

	in    io.Writer
	lines *bufio.Scanner
}

// NewCertified starts a Certified that signs with the first key of a set.
func NewCertified(t testing.TB, keys jose.JSONWebKeySet) *Certified {
	t.Helper()
	dir := NPM(t, OIDCProvider)
	script := filepath.Join(t.TempDir(), "certified.mjs")
	if err := os.WriteFile(script, certified, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("node", script, dir)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	p := &Certified{in: in, lines: bufio.NewScanner(out)}
	p.Rotate(t, keys)
	return p
}

// SigningKey is a set of one new key.
func SigningKey(t testing.TB) jose.JSONWebKeySet {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key, KeyID: "key-1", Use: "sig", Algorithm: "RS256"}}}
}

// Rotate gives the provider other keys; it signs with the first.
func (p *Certified) Rotate(t testing.TB, keys jose.JSONWebKeySet) {
	t.Helper()
	text, err := json.Marshal(keys)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.in.Write(append(text, '\n')); err != nil {
		t.Fatal(err)
	}
	for p.lines.Scan() { // it says other things, too
		if at, ok := strings.CutPrefix(p.lines.Text(), "issuer "); ok {
			p.URL = at
			return
		}
	}
	t.Fatalf("the provider does not say where it is: %v", p.lines.Err())
}
