// Command promises reads what `go test -v` says and prints a table of the promises that
// were held, each with what its test counted, and of the tests that failed. It ends with
// 1 where one has failed, or none was held.
package main

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
)

// row is what a test has said of a promise.
type row struct{ promise, test, says string }

var (
	says   = regexp.MustCompile(`RELIABILITY (\S+) (.*)`)
	begins = regexp.MustCompile(`^=== (?:RUN|NAME|CONT) +(\S+)`)
	fails  = regexp.MustCompile(`^(?:--- FAIL: (\S+)|FAIL\s+(\S+)|panic: (.*))`)
)

// read takes what tests say apart.
func read(in io.Reader) (held []row, failed []string, err error) {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<26)
	test := ""
	for lines.Scan() {
		line := lines.Text()
		if m := begins.FindStringSubmatch(line); m != nil {
			test = m[1]
		}
		if m := says.FindStringSubmatch(line); m != nil {
			held = append(held, row{m[1], test, m[2]})
		}
		if m := fails.FindStringSubmatch(line); m != nil {
			failed = append(failed, m[1]+m[2]+m[3])
		}
	}
	slices.SortStableFunc(held, func(a, b row) int { return cmp.Compare(a.promise, b.promise) })
	return held, failed, lines.Err()
}

// report prints the table, and tells whether all is well.
func report(out io.Writer, held []row, failed []string) bool {
	fmt.Fprintln(out, "| promise | test | what was counted |\n| --- | --- | --- |")
	for _, r := range held {
		fmt.Fprintf(out, "| %s | `%s` | %s |\n", r.promise, r.test, strings.ReplaceAll(r.says, "|", `\|`))
	}
	fmt.Fprintf(out, "\n%d promises were counted, %d failures\n", len(held), len(failed))
	for _, name := range failed {
		fmt.Fprintln(out, "FAILED:", name)
	}
	return len(held) > 0 && len(failed) == 0
}

func main() {
	held, failed, err := read(io.TeeReader(os.Stdin, os.Stderr))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if !report(os.Stdout, held, failed) {
		os.Exit(1)
	}
}
