package bootstrap

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"go.uber.org/fx"
	"go.uber.org/zap"

	"agentapi/adapters/identity/apikey"
	"agentapi/adapters/identity/dev"
	"agentapi/adapters/identity/oidc"
	"agentapi/application/outage"
	"agentapi/bootstrap/driver"
	"agentapi/configs"
	"agentapi/domain/fault"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

// Identity tells who presents a credential.
var Identity = fx.Module("identity",
	driver.Provide("identity", func(s Setting) driver.Driver[ports.Authenticator] {
		return driver.For("dev", func(o dev.Options) (ports.Authenticator, error) {
			if s.DevToken != "" {
				o.Tokens = append(o.Tokens, dev.Token{Token: s.DevToken, Org: "dev", User: "dev", Role: string(tenancy.PlatformAdmin)})
			}
			return dev.Open(o)
		})
	}),
	driver.Provide("identity", func(log *zap.Logger, away *outage.Registry) driver.Driver[ports.Authenticator] {
		return driver.For("oidc", func(o oidc.Options) (ports.Authenticator, error) {
			return oidc.Open(o, oidc.Params{Now: now, Report: func(issuer string, err error) {
				away.Tell(outage.Identity, issuer, err)
				if err != nil {
					log.Warn("the keys of an issuer cannot be fetched", zap.String("issuer", issuer), zap.Error(err))
					return
				}
				log.Info("the keys of an issuer can be fetched again", zap.String("issuer", issuer))
			}})
		})
	}),
	driver.Provide("identity", func(keys *apikey.Identity) driver.Driver[ports.Authenticator] {
		return driver.For("apikey", func(apikey.Options) (ports.Authenticator, error) { return keys, nil })
	}),
	// The storage is opened after the drivers are known.
	fx.Provide(func() *apikey.Identity { return &apikey.Identity{} }, newPepper),
	driver.Chain[ports.Authenticator]("identity", "identity", func(c *configs.Config) []string { return c.Identity.Chain }),
)

// pepperFile keeps the pepper that was made, where none is configured.
const pepperFile = "key-pepper"

// newPepper is what is configured, or what is in the data folder, where it is made
// once when a server starts. A server that keeps nothing makes one that ends with it.
func newPepper(c *configs.Config, s Setting, life fx.Lifecycle) (tenancy.Pepper, error) {
	if p := c.Identity.KeyPepper; p != "" {
		return tenancy.Pepper(p), nil
	}
	var b [32]byte
	rand.Read(b[:])
	fresh := hex.EncodeToString(b[:])
	if c.Storage.Driver == "memory" {
		return tenancy.Pepper(fresh), nil
	}
	path := filepath.Join(s.DataDir, pepperFile)
	kept, err := os.ReadFile(path)
	if text := strings.TrimSpace(string(kept)); err == nil && text != "" {
		return tenancy.Pepper(text), nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, noPepper(err, path)
	}
	life.Append(fx.Hook{OnStart: func(context.Context) error {
		if err := os.MkdirAll(s.DataDir, 0o700); err != nil {
			return noPepper(err, path)
		}
		if err := os.WriteFile(path, []byte(fresh+"\n"), 0o600); err != nil {
			return noPepper(err, path)
		}
		return nil
	}})
	return tenancy.Pepper(fresh), nil
}

func noPepper(err error, path string) error {
	return fault.Wrap(fault.Unavailable, err, "The pepper of API keys cannot be kept in %s.", path).
		WithHint("Set AGENTAPI_DATA_DIR to a folder that can be written, or give the pepper in AGENTAPI_KEY_PEPPER.")
}
