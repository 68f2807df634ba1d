package tiktoken

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// class is what a character is to the encodings' splitting.
type class uint8

const (
	upper  class = 1 << iota // begins a cased word: Lu, Lt, Lm, Lo, M
	lower                    // goes on in one: Ll, Lm, Lo, M
	letter                   // L
	digit                    // N
	line                     // a carriage return or a line feed
	blank                    // white space, lines included
)

var ascii = func() (all [utf8.RuneSelf]class) {
	for r := range rune(utf8.RuneSelf) {
		all[r] = classOf(r)
	}
	return all
}()

func classOf(r rune) (c class) {
	switch {
	case r == '\r' || r == '\n':
		return line | blank
	case unicode.IsSpace(r):
		return blank
	case unicode.Is(unicode.N, r):
		return digit
	case unicode.Is(unicode.M, r):
		return upper | lower
	case unicode.In(r, unicode.Lm, unicode.Lo):
		return upper | lower | letter
	case unicode.In(r, unicode.Lu, unicode.Lt):
		return upper | letter
	case unicode.Is(unicode.Ll, r):
		return lower | letter
	}
	return 0
}

// at is the character at a place of a text, which may be its end, and its length.
func at(text string, i int) (class, int) {
	if i >= len(text) {
		return 0, 0
	}
	if b := text[i]; b < utf8.RuneSelf {
		return ascii[b], 1
	}
	r, n := utf8.DecodeRuneInString(text[i:])
	return classOf(r), n
}

// run is where characters end that are of any of the classes.
func run(text string, i int, of class) int {
	for {
		c, n := at(text, i)
		if n == 0 || c&of == 0 {
			return i
		}
		i += n
	}
}

// contraction is where 's, 't, 're, 've, 'm, 'll or 'd ends, in either case; i: there is
// none.
func contraction(text string, i int) int {
	if i+1 >= len(text) || text[i] != '\'' {
		return i
	}
	switch rest := text[i+1:]; {
	case strings.IndexByte("sStTmMdD", rest[0]) >= 0:
		return i + 2
	case strings.HasPrefix(rest, "ſ"): // which is an s in another case
		return i + 1 + len("ſ")
	case len(rest) >= 2 && (strings.EqualFold(rest[:2], "re") || strings.EqualFold(rest[:2], "ve") || strings.EqualFold(rest[:2], "ll")):
		return i + 3
	}
	return i
}

// nextPlain is cl100k's: words with the character before them, of whatever case.
func nextPlain(text string) int {
	if end := contraction(text, 0); end > 0 {
		return end
	}
	c, n := at(text, 0)
	switch {
	case c&letter != 0:
		return run(text, n, letter)
	case c&(line|digit) == 0:
		if end := run(text, n, letter); end > n {
			return end
		}
	}
	return nextOther(text, c, n, "\r\n")
}

// nextCased is o200k's: words with the character before them, which end where an
// upper-case letter follows a lower-case one, and keep their contraction.
func nextCased(text string) int {
	c, n := at(text, 0)
	begins := []int{0}
	if c&(line|letter|digit) == 0 {
		begins = []int{n, 0}
	}
	for _, begin := range begins {
		if end := endsLower(text, begin); end > begin {
			return contraction(text, end)
		}
	}
	for _, begin := range begins {
		if end := run(text, begin, upper); end > begin {
			return contraction(text, run(text, end, lower))
		}
	}
	return nextOther(text, c, n, "\r\n/")
}

// endsLower is where a word ends that has any number of upper and then at least one lower
// character; begin: there is none. Of those that are both as many as can be are upper.
func endsLower(text string, begin int) int {
	end, last := begin, begin // last: where the last character ends that is both
	for {
		c, n := at(text, end)
		if n == 0 || c&upper == 0 {
			break
		}
		if end += n; c&lower != 0 {
			last = end
		}
	}
	if all := run(text, end, lower); all > end {
		return all
	}
	return last
}

// nextOther is what both have in common: numbers of up to three digits, punctuation with
// the space before it and what may follow it, and white space.
func nextOther(text string, c class, n int, follow string) int {
	if c&digit != 0 {
		end := n
		for range 2 {
			if c, n := at(text, end); c&digit != 0 {
				end += n
			}
		}
		return end
	}
	begin := 0
	if text[0] == ' ' {
		begin = 1
	}
	end := begin
	for {
		c, n := at(text, end)
		if n == 0 || c&(blank|letter|digit) != 0 {
			break
		}
		end += n
	}
	if end > begin {
		for end < len(text) && strings.IndexByte(follow, text[end]) >= 0 {
			end++
		}
		return end
	}
	return nextBlank(text)
}

// nextBlank is white space up to its last line break; else all of it, less one before a
// word, which takes that with it.
func nextBlank(text string) int {
	var end, last, lines int
	for {
		c, n := at(text, end)
		if n == 0 || c&blank == 0 {
			break
		}
		last, end = end, end+n
		if c&line != 0 {
			lines = end
		}
	}
	switch {
	case lines > 0:
		return lines
	case end < len(text) && last > 0:
		return last
	}
	return end
}
