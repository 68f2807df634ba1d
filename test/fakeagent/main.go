// Command fakeagent is an agent program that misbehaves as it is told: the first
// word of the last message says how. It speaks the exec driver's protocol.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func say(line map[string]any) {
	text, err := json.Marshal(line)
	if err != nil {
		os.Exit(9)
	}
	fmt.Println(string(text))
}

func text(s string) { say(map[string]any{"type": "text", "text": s}) }

func finish() {
	say(map[string]any{"type": "usage", "prompt_tokens": 3, "completion_tokens": 2})
	say(map[string]any{"type": "finished", "reason": "stop"})
}

func forever() {
	for {
		time.Sleep(time.Hour)
	}
}

// child starts a process in a session of its own that keeps our output open.
func child() {
	c := exec.Command("sleep", "300")
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := c.Start(); err != nil {
		os.Exit(9)
	}
}

// record appends what it was started with to the file that it is told of.
func record(prompt string) {
	path := os.Getenv("FAKEAGENT_RECORD")
	if path == "" {
		return
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		os.Exit(9)
	}
	defer f.Close()
	line := struct {
		Prompt    string
		Argv, Env []string
	}{prompt, os.Args, os.Environ()}
	if err := json.NewEncoder(f).Encode(line); err != nil {
		os.Exit(9)
	}
}

func main() {
	var request struct {
		Choices  int
		Messages []struct{ Content string }
	}
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	line, err := in.ReadString('\n')
	if err != nil || json.Unmarshal([]byte(line), &request) != nil || len(request.Messages) == 0 {
		fmt.Fprintln(os.Stderr, "no request")
		os.Exit(2)
	}
	prompt := request.Messages[len(request.Messages)-1].Content
	record(prompt)
	mode, _, _ := strings.Cut(prompt, " ")
	switch mode {
	case "segv":
		_ = syscall.Kill(os.Getpid(), syscall.SIGSEGV)
		forever()
	case "exit9":
		fmt.Fprintln(os.Stderr, "last words")
		os.Exit(9)
	case "hang":
		forever()
	case "half":
		text("half ")
		forever()
	case "deaf": // ignores what asks it to end, and so does its child
		signal.Ignore(syscall.SIGINT, syscall.SIGTERM)
		child()
		text("deaf ")
		forever()
	case "orphan":
		child()
		text("done")
		finish()
	case "badjson":
		fmt.Println("{nope")
		forever()
	case "badutf8":
		os.Stdout.WriteString("{\"type\":\"text\",\"text\":\"a\xc3")
		os.Stdout.Sync()
		os.Stdout.WriteString("\xff b\"}\n")
		finish()
	case "longline":
		text(strings.Repeat("x", 200<<10))
		finish()
	case "flood":
		for {
			fmt.Print(strings.Repeat("x", 1<<20))
		}
	case "flooderr":
		for range 64 {
			fmt.Fprint(os.Stderr, strings.Repeat("e", 1<<20))
		}
		text("done")
		finish()
	case "midstream":
		text("half")
		os.Exit(9)
	case "silent":
		os.Exit(0)
	case "env":
		text(strings.Join(os.Environ(), "\n"))
		finish()
	case "argv":
		text(strings.Join(os.Args, " "))
		finish()
	case "refuse":
		say(map[string]any{"type": "error", "kind": "invalid", "message": "no"})
	default:
		text(prompt)
		finish()
	}
}
