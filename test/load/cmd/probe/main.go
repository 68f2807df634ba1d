// Command probe tells by its exit status whether a URL answers 200; with -wait
// it starts a command, polls until then and prints the cold start in
// milliseconds and the RSS at that moment and after -settle.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"agentapi/test/load/internal/proc"
)

func main() {
	url := flag.String("url", "", "URL to ask")
	post := flag.String("post", "", "body to POST instead of a GET")
	auth := flag.String("auth", "", "Authorization header")
	cold := flag.Int("cold", 0, "start the command given after -- this many times and report")
	settle := flag.Duration("settle", 3*time.Second, "time before the idle RSS is read")
	env := flag.String("dir", "", "working directory of the command")
	flag.Parse()
	ask := func(timeout time.Duration) bool {
		c := http.Client{Timeout: timeout, Transport: &http.Transport{DisableKeepAlives: true}}
		method, body := "GET", io.Reader(nil)
		if *post != "" {
			method, body = "POST", strings.NewReader(*post)
		}
		req, err := http.NewRequest(method, *url, body)
		if err != nil {
			return false
		}
		req.Header.Set("Content-Type", "application/json")
		if *auth != "" {
			req.Header.Set("Authorization", *auth)
		}
		r, err := c.Do(req)
		if err != nil {
			return false
		}
		io.Copy(io.Discard, r.Body)
		r.Body.Close()
		return r.StatusCode == 200
	}
	if *cold == 0 {
		if !ask(2 * time.Second) {
			time.Sleep(5 * time.Millisecond)
			os.Exit(1)
		}
		return
	}
	type one struct {
		ColdMS float64 `json:"cold_ms"`
		CPUMS  int64   `json:"cpu_ms"`
		RSS    float64 `json:"idle_rss_mb"`
	}
	var all []one
	for range *cold {
		cmd := exec.Command(flag.Arg(0), flag.Args()[1:]...)
		cmd.Dir = *env
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		t0 := time.Now()
		if err := cmd.Start(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		ok := false
		for time.Since(t0) < 60*time.Second {
			if ok = ask(2 * time.Second); ok {
				break
			}
			time.Sleep(time.Millisecond)
		}
		d := time.Since(t0)
		time.Sleep(*settle)
		u, _ := proc.Read(cmd.Process.Pid)
		if ok {
			all = append(all, one{float64(d.Microseconds()) / 1000, u.CPU.Milliseconds(), float64(u.RSS>>10) / 1024})
		}
		syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		done := make(chan struct{})
		go func() { cmd.Wait(); close(done) }()
		select {
		case <-done:
		case <-time.After(5 * time.Second):
			syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			<-done
		}
	}
	json.NewEncoder(os.Stdout).Encode(all)
}
