package main

import (
	"os/exec"
	"testing"
)

// The bench runs, every stream comes whole and in order, and numbers come out.
// What they are is judged by running it at full length.
func TestTheBenchRuns(t *testing.T) {
	if testing.Short() {
		t.Skip("left out in short mode")
	}
	cmd := exec.CommandContext(t.Context(), "go", "run", "./test/load", "-smoke")
	cmd.Dir = "../.."
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
