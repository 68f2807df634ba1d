package bootstrap

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"path/filepath"

	"go.uber.org/fx"

	"agentapi/adapters/audit/file"
	"agentapi/application/trail"
	"agentapi/bootstrap/driver"
	"agentapi/configs"
	"agentapi/domain/audit"
	"agentapi/ports"
)

// Recorder makes the recorder of this process, or nil where nothing is recorded.
func Recorder(c *configs.Config, storage ports.Storage, s Setting) *trail.Recorder {
	if !c.Audit.Enabled {
		return nil
	}
	return trail.NewRecorder(storage, s.Instance, now, func(b []byte) { rand.Read(b) })
}

// newTrail makes the recorder and what looks after the log, which starts before
// everything that records, and stops after it; both are nil where nothing is recorded.
func newTrail(c *configs.Config, storage ports.Storage, obs ports.Observer, s Setting, life fx.Lifecycle) (*trail.Recorder, *trail.Service) {
	r := Recorder(c, storage, s)
	if r == nil {
		return nil, nil
	}
	svc := trail.New(trailParams(c, storage, r, obs, s))
	life.Append(fx.Hook{OnStart: func(context.Context) (err error) {
		svc.Key, err = auditKey(c, s)
		return err
	}})
	driver.Hook(life, svc)
	background(life, svc.Run)
	return r, svc
}

func trailParams(c *configs.Config, storage ports.Storage, r *trail.Recorder, obs ports.Observer, s Setting) trail.Params {
	return trail.Params{
		Storage: storage, Recorder: r, Keeper: CheckpointFile(c, s), Every: c.Audit.Checkpoints.Every, Instance: s.Instance,
		Version: Version().Version, Observer: obs, Now: now,
		Keep: trail.Keep{After: c.Audit.Retention.After, Archive: file.Archive{Folder: c.Audit.Retention.Folder}},
	}
}

// Trail is what looks after the log of a storage, for commands; it is not started.
func Trail(c *configs.Config, storage ports.Storage, s Setting) (*trail.Service, error) {
	p := trailParams(c, storage, Recorder(c, storage, s), ports.NopObserver{}, s)
	key, err := auditKey(c, s)
	p.Key = key
	return trail.New(p), err
}

// keeps tells whether the log outlives the process.
func keeps(c *configs.Config) bool { return c.Storage.Driver != "memory" }

// CheckpointFile is where checkpoints are kept beside the storage.
func CheckpointFile(c *configs.Config, s Setting) file.Notes {
	path := c.Audit.Checkpoints.File
	if path == "" && keeps(c) {
		path = filepath.Join(s.DataDir, "audit-checkpoints")
	}
	return file.Notes{Path: path}
}

// auditKey is the key that signs checkpoints.
func auditKey(c *configs.Config, s Setting) (ed25519.PrivateKey, error) {
	path := c.Audit.KeyFile
	switch {
	case path != "":
	case keeps(c):
		path = filepath.Join(s.DataDir, "audit-key.pem")
	default:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}
	return file.Key(path)
}

// AuditKey is the public part of the key that signs checkpoints.
func AuditKey(c *configs.Config, s Setting) (audit.Key, error) {
	key, err := auditKey(c, s)
	if err != nil {
		return audit.Key{}, err
	}
	return audit.KeyOf(key), nil
}
