package lang

import (
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// readNumber reads Python's spellings of integers and floats, with a sign.
func readNumber(s string) (Value, string) {
	digits, negative := strings.CutPrefix(s, "-")
	if len(digits) > 1 && digits[0] == '0' {
		switch digits[1] {
		case 'x', 'X', 'o', 'O', 'b', 'B':
			return readInt(s, digits[2:], map[byte]int{'x': 16, 'o': 8, 'b': 2}[digits[1]|0x20], negative)
		}
	}
	if strings.IndexFunc(digits, func(r rune) bool { return r < '0' || r > '9' }) < 0 {
		if len(digits) > 1 && digits[0] == '0' && strings.Trim(digits, "0") != "" {
			return Value{}, "a number has no zeros in front"
		}
		return readInt(s, digits, 10, negative)
	}
	if strings.ContainsAny(digits, "_xXpPnNiI") {
		return Value{}, Quote(s) + " is not a number"
	}
	f, err := strconv.ParseFloat(s, 64)
	switch {
	case math.IsInf(f, 0):
		return Value{}, s + " is too large for a float"
	case err != nil:
		return Value{}, Quote(s) + " is not a number"
	}
	return Real(f), ""
}

func readInt(all, digits string, base int, negative bool) (Value, string) {
	if negative {
		digits = "-" + digits
	}
	if strings.ContainsAny(digits, "_+") {
		return Value{}, Quote(all) + " is not a number"
	}
	i, err := strconv.ParseInt(digits, base, 64)
	if err != nil {
		if e, ok := err.(*strconv.NumError); ok && e.Err == strconv.ErrRange {
			return Value{}, all + " does not fit into 64 bits"
		}
		return Value{}, Quote(all) + " is not a number"
	}
	return Integer(i), ""
}

// unquote reads a string constant whose quotes are known to be there. at is where in it a fault is.
func unquote(s string) (text, fault string, at int) {
	body := s[1 : len(s)-1]
	if !utf8.ValidString(body) {
		return "", "a string is valid UTF-8", 0
	}
	if !strings.ContainsRune(body, '\\') {
		return body, "", 0
	}
	var b strings.Builder
	for i := 0; i < len(body); i++ {
		if body[i] != '\\' {
			b.WriteByte(body[i])
			continue
		}
		i++
		switch c := body[i]; c {
		case '\\', '"', '\'':
			b.WriteByte(c)
		case 'n':
			b.WriteByte('\n')
		case 't':
			b.WriteByte('\t')
		case 'r':
			b.WriteByte('\r')
		case 'x', 'u':
			n := map[byte]int{'x': 2, 'u': 4}[c]
			if i+n >= len(body) {
				return "", "an escape has " + strconv.Itoa(n) + " hexadecimal digits", i
			}
			v, err := strconv.ParseUint(body[i+1:i+1+n], 16, 32)
			if err != nil || v >= 0xd800 && v < 0xe000 {
				return "", "an escape is the number of a character, in " + strconv.Itoa(n) + " hexadecimal digits", i
			}
			b.WriteRune(rune(v))
			i += n
		default:
			return "", `escapes are \\ \" \' \n \t \r \xHH \uHHHH`, i
		}
	}
	return b.String(), "", 0
}
