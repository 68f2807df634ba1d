package droid

import (
	"bufio"
	"fmt"
	"os"
	"strings"
)

const (
	perProcess = 450 << 20 // a droid's memory while it works, with some room
	most       = 64        // processes that are sensible on one machine
)

// fitting is how many processes half of the free memory holds.
func fitting(free int64) int { return int(min(max(1, free/2/perProcess), most)) }

// freeMemory is what the machine says it can give; 8 GiB where it does not say.
func freeMemory() int64 {
	const unknown = 8 << 30
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return unknown
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if rest, ok := strings.CutPrefix(s.Text(), "MemAvailable:"); ok {
			var kib int64
			if _, err := fmt.Sscan(rest, &kib); err == nil {
				return kib << 10
			}
		}
	}
	return unknown
}
