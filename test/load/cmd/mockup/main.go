// Command mockup is the mock upstream; see package mock for what it answers.
package main

import (
	"encoding/json"
	"flag"
	"log"
	"net"

	"agentapi/test/load/internal/mock"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:9100", "listen address (loopback only)")
	cfg := flag.String("config", "{}", "behaviour as JSON, see mock.Config; changed later by POST /_mock/config")
	flag.Parse()
	host, _, err := net.SplitHostPort(*addr)
	if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsLoopback() {
		log.Fatalf("mockup: %q is not a loopback address", *addr)
	}
	var c mock.Config
	if err := json.Unmarshal([]byte(*cfg), &c); err != nil {
		log.Fatal(err)
	}
	l, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("mock upstream on %s", l.Addr())
	log.Fatal(mock.New(c).Serve(l))
}
