package main

import (
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// dataDir is where data is kept: AGENTAPI_DATA_DIR, or agentapi in the user's
// data folder.
func dataDir() (string, error) {
	if dir := os.Getenv("AGENTAPI_DATA_DIR"); dir != "" {
		return dir, nil
	}
	if dir := os.Getenv("XDG_DATA_HOME"); dir != "" {
		return filepath.Join(dir, "agentapi"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", &exit{code: exitConfig, err: errors.New("there is no home folder to keep data in"), fix: "set AGENTAPI_DATA_DIR"}
	}
	return filepath.Join(home, ".local", "share", "agentapi"), nil
}

// The files in the data folder that agentapi chat and agentapi sessions read.
const (
	tokenFile   = "dev-token"
	addressFile = "address"
)

// devToken gives the development identity's token: AGENTAPI_DEV_TOKEN as it is,
// else one that is made once and kept in dir. made tells that it is ours, so
// that it may be shown.
func devToken(dir string) (token string, made bool, err error) {
	if t := os.Getenv("AGENTAPI_DEV_TOKEN"); t != "" {
		return t, false, nil
	}
	if file := os.Getenv("AGENTAPI_DEV_TOKEN_FILE"); file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return "", false, &exit{code: exitConfig, err: fmt.Errorf("AGENTAPI_DEV_TOKEN_FILE: %w", err)}
		}
		return strings.TrimSpace(string(text)), false, nil
	}
	path := filepath.Join(dir, tokenFile)
	if text, err := os.ReadFile(path); err == nil && len(strings.TrimSpace(string(text))) > 0 {
		return strings.TrimSpace(string(text)), true, nil
	}
	token = newDevToken()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", false, noData(err)
	}
	if err := os.WriteFile(path, []byte(token+"\n"), 0o600); err != nil {
		return "", false, noData(err)
	}
	return token, true, nil
}

// newDevToken makes a token that nobody can guess.
func newDevToken() string {
	var b [20]byte
	rand.Read(b[:])
	return "sk-agentapi-dev-" + strings.ToLower(base32.StdEncoding.EncodeToString(b[:]))
}

func noData(err error) error {
	return &exit{code: exitDependency, err: fmt.Errorf("the data folder cannot be written: %w", err), fix: "set AGENTAPI_DATA_DIR to a folder that can, or keep nothing with: agentapi serve --memory"}
}
