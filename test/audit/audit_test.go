// Package audit holds the server's verifier of the audit log against another one,
// in another language, that was written after the format's description.
package audit

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"agentapi/adapters/audit/file"
	"agentapi/adapters/storage/memory"
	"agentapi/application/trail"
	"agentapi/domain/audit"
	"agentapi/domain/id"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

func named[K id.Kind](_ id.ID[K], name string) id.ID[K] { return id.Named[K](name) }

func scope(org, user string) tenancy.Scope {
	return tenancy.OnBehalf(named(tenancy.OrgID{}, org), named(tenancy.UserID{}, user))
}

// written is a log of many organisations with its checkpoints, in files.
type written struct {
	lines [][]byte // of the export, without the last
	notes string
	key   audit.Key
}

func write(t *testing.T) *written {
	t.Helper()
	var o memory.Options
	o.SetDefaults()
	storage, err := memory.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	w := &written{notes: filepath.Join(t.TempDir(), "checkpoints")}
	key, err := file.Key(filepath.Join(t.TempDir(), "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	w.key = audit.KeyOf(key)
	recorder := trail.NewRecorder(storage, "instance", time.Now, func(b []byte) { rand.Read(b) })
	for i := range 60 {
		n := trail.Note{Action: audit.ChatCompleted, Who: scope(fmt.Sprint(i%3), fmt.Sprint(i%7)), What: "session", Own: fmt.Sprint(i), Details: map[string]string{
			"model": "vendor/mödel \"x\" \\ <>&  😀", "n": fmt.Sprint(i),
		}}
		if i%5 == 0 {
			n = trail.Note{Action: audit.ServerStarted, Actor: audit.System}
		}
		if err := recorder.Record(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		if i%12 == 11 {
			checkpoint(t, storage, key, w.notes)
		}
	}
	var out bytes.Buffer
	if _, err := trail.Export(t.Context(), storage, audit.Filter{}, &out); err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(out.Bytes(), []byte("\n"))
	w.lines = lines[:len(lines)-2]
	return w
}

func checkpoint(t *testing.T, storage ports.Storage, key ed25519.PrivateKey, path string) {
	t.Helper()
	head, err := storage.Trail().Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := (file.Notes{Path: path}).Keep(context.Background(), audit.Sign(key, head, time.Now(), [32]byte{}).Note); err != nil {
		t.Fatal(err)
	}
}

// said is what a verifier says.
type said struct {
	OK             bool
	Kind           string
	First, Through uint64
}

// ours and theirs verify an export of these lines.
func (w *written) ours(t *testing.T, path string) said {
	t.Helper()
	notes, err := file.Notes{Path: w.notes}.Kept(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	v, err := trail.VerifyExport(&audit.Verifier{}, notes, []audit.Key{w.key}, f)
	if err != nil {
		t.Fatal(err)
	}
	if v.Finding == nil {
		return said{OK: true}
	}
	return said{Kind: string(v.Finding.Kind), First: v.Finding.Seq, Through: v.Finding.Through}
}

func (w *written) theirs(t *testing.T, path string) (out said) {
	t.Helper()
	text, err := exec.CommandContext(t.Context(), "python3", "verify.py", path, w.notes, w.key.String()).Output()
	var code *exec.ExitError
	if err != nil && (!asExit(err, &code) || code.ExitCode() != 5) {
		t.Fatalf("%v: %s", err, code.Stderr)
	}
	if err := json.Unmarshal(text, &out); err != nil || out.OK != (code == nil) {
		t.Fatalf("%s, %v", text, err)
	}
	return out
}

func asExit(err error, into **exec.ExitError) bool {
	e, ok := err.(*exec.ExitError)
	*into = e
	return ok
}

func save(t *testing.T, lines [][]byte) string {
	t.Helper()
	text := bytes.Join(lines, nil)
	sum := sha256.Sum256(text)
	path := filepath.Join(t.TempDir(), "export")
	end := fmt.Sprintf("{\"kind\":\"end\",\"entries\":%d,\"sha256\":%q}\n", len(lines), hex.EncodeToString(sum[:]))
	if err := os.WriteFile(path, append(text, end...), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAnotherVerifierSaysTheSame(t *testing.T) {
	if _, err := exec.LookPath("python3"); err != nil {
		t.Fatal("python3 is not installed; install it with: apt-get install python3")
	}
	w := write(t)
	r := mathrand.New(mathrand.NewPCG(1, 2))
	for name, tamper := range map[string]func(all [][]byte, i int) [][]byte{
		"nothing": func(all [][]byte, _ int) [][]byte { return all },
		"an edit": func(all [][]byte, i int) [][]byte {
			all[i] = bytes.Replace(all[i], []byte("instance"), []byte("instanse"), 1)
			return all
		},
		"another hash": func(all [][]byte, i int) [][]byte { all[i] = edited(all[i], "hash"); return all },
		"another prev": func(all [][]byte, i int) [][]byte { all[i] = edited(all[i], "prev"); return all },
		"a deletion":   func(all [][]byte, i int) [][]byte { return slices.Delete(all, i, i+1) },
		"a cut":        func(all [][]byte, i int) [][]byte { return all[:i] },
		"a swap": func(all [][]byte, i int) [][]byte {
			all[i], all[(i+1)%len(all)] = all[(i+1)%len(all)], all[i]
			return all
		},
		"a double":      func(all [][]byte, i int) [][]byte { return slices.Insert(all, i, all[i]) },
		"hashing anew":  func(all [][]byte, i int) [][]byte { return hashedAnew(all, i, true) },
		"hashing alike": func(all [][]byte, i int) [][]byte { return hashedAnew(all, i, false) },
	} {
		t.Run(name, func(t *testing.T) {
			for range 4 {
				i := r.IntN(len(w.lines) - 1)
				path := save(t, tamper(slices.Clone(w.lines), i))
				ours, theirs := w.ours(t, path), w.theirs(t, path)
				if ours != theirs {
					t.Errorf("at %d: ours says %+v, theirs %+v", i+1, ours, theirs)
				}
				if ours.OK != (name == "nothing") {
					t.Errorf("at %d: %+v", i+1, ours)
				}
			}
		})
	}
	notes, err := os.ReadFile(w.notes)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(w.notes, []byte(strings.Replace(string(notes), "\n24\n", "\n23\n", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	path := save(t, w.lines)
	if ours, theirs := w.ours(t, path), w.theirs(t, path); ours != theirs || ours.Kind != "forged" {
		t.Errorf("of a changed checkpoint ours says %+v, theirs %+v", ours, theirs)
	}
}

// edited changes a digit of a hash.
func edited(text []byte, field string) []byte {
	at := bytes.Index(text, []byte(`"`+field+`":"`)) + len(field) + 4
	out := bytes.Clone(text)
	out[at] ^= 1
	if out[at] > '9' && out[at] < 'a' || out[at] > 'f' || out[at] < '0' {
		out[at] ^= 3
	}
	return out
}

// hashedAnew edits an entry and hashes everything from it on anew, with each
// organisation's own chain or without.
func hashedAnew(all [][]byte, i int, places bool) [][]byte {
	type line struct {
		Chain uint64 `json:"chain"`
		Seq   uint64 `json:"seq"`
		Prev  string `json:"prev"`
		Hash  string `json:"hash"`
		Canon string `json:"canon"`
	}
	var (
		before string
		orgs   = map[string]string{}
	)
	for n := range all {
		var l line
		var said struct {
			Org     string
			OrgPrev string `json:"org_prev"`
		}
		if json.Unmarshal(all[n], &l) != nil || json.Unmarshal([]byte(l.Canon), &said) != nil {
			panic("no line")
		}
		if n >= i {
			if n == i {
				l.Canon = strings.Replace(l.Canon, `"outcome":"ok"`, `"outcome":"failed"`, 1)
			}
			if n > 0 {
				l.Prev = before
			}
			if places && said.Org != "" && orgs[said.Org] != "" {
				l.Canon = strings.Replace(l.Canon, said.OrgPrev, orgs[said.Org], 1)
			}
			var prev [32]byte
			_, _ = hex.Decode(prev[:], []byte(l.Prev))
			sum := audit.Hash(l.Chain, l.Seq, prev, []byte(l.Canon))
			l.Hash = hex.EncodeToString(sum[:])
			all[n], _ = json.Marshal(l)
			all[n] = append(all[n], '\n')
		}
		before = l.Hash
		orgs[said.Org] = l.Hash
	}
	return all
}
