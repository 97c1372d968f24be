package eventpattern

import (
	"strconv"
	"unicode/utf8"
)

// decimal is a JSON number as patterns compare it. Numbers are compared by value where a float64 holds them exactly enough to be
// written back as they were (300, 300.0 and 3.0e2 are one number); else as text, so that 9007199254740993 isn't 9007199254740992.
type decimal struct {
	f  float64
	ok bool // f stands for the number
}

// parseDecimal reads a JSON number. It doesn't allocate for numbers of up to 15 digits.
func parseDecimal(s []byte) decimal {
	var mantissa uint64
	digits, exponent := 0, 0 // of the significant part; the power of ten it is to be multiplied by
	i := 0
	negative := len(s) > 0 && s[0] == '-'
	if negative {
		i++
	}
	fraction, zeros := false, 0 // zeros: seen after a digit and not yet counted, as they may be the last
	for ; i < len(s); i++ {
		c := s[i]
		if c == '.' {
			fraction = true
			continue
		}
		if c < '0' || c > '9' {
			break
		}
		if fraction {
			exponent--
		}
		if c == '0' {
			if digits > 0 {
				zeros++
			}
			continue
		}
		if digits+zeros+1 > 17 {
			return decimal{} // more than any float64 needs to be told from its neighbours
		}
		for ; zeros > 0; zeros-- {
			mantissa *= 10
			digits++
		}
		mantissa = mantissa*10 + uint64(c-'0')
		digits++
	}
	exponent += zeros
	if i < len(s) { // e or E
		i++
		sign := 1
		if i < len(s) && (s[i] == '+' || s[i] == '-') {
			if s[i] == '-' {
				sign = -1
			}
			i++
		}
		e := 0
		for ; i < len(s) && e < 1_000_000; i++ {
			e = e*10 + int(s[i]-'0')
		}
		exponent += sign * e
	}
	if digits == 0 {
		return decimal{0, true} // -0 is 0
	}
	if digits <= 15 && exponent >= -22 && exponent <= 22 {
		f := float64(mantissa) // exact, as it is under 2^53
		if exponent < 0 {
			f /= pow10(-exponent)
		} else {
			f *= pow10(exponent)
		}
		if negative {
			f = -f
		}
		return decimal{f, true}
	}
	if digits+exponent > 310 || digits+exponent < -325 {
		return decimal{}
	}
	return slowDecimal(mantissa, digits, exponent, negative)
}

// pow10 returns ten to the n for n up to 22, all of which a float64 holds exactly.
func pow10(n int) float64 {
	return [...]float64{
		1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
		1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
	}[n]
}

// slowDecimal decides whether the float64 nearest to mantissa * 10^exponent is written with the same digits.
func slowDecimal(mantissa uint64, digits, exponent int, negative bool) decimal {
	var buf [48]byte
	s := strconv.AppendUint(buf[:0], mantissa, 10)
	s = append(s, 'e')
	s = strconv.AppendInt(s, int64(exponent), 10)
	f, err := strconv.ParseFloat(string(s), 64)
	if err != nil || f == 0 {
		return decimal{} // out of range, or lost altogether
	}
	if negative {
		f = -f
	}
	if digits <= 15 && digits+exponent > -300 {
		return decimal{f, true} // 15 digits always come back
	}
	// Shortest form: d.ddde±x, compared digit by digit with the mantissa. Java writes two digits at least, which shows in the
	// smallest numbers only: 4.9e-324, not 5e-324.
	short := strconv.AppendFloat(buf[24:24], f, 'e', -1, 64)
	if digits <= 2 && f < 1e-300 && f > -1e-300 {
		short = strconv.AppendFloat(buf[24:24], f, 'e', 1, 64)
	}
	if negative {
		short = short[1:]
	}
	var m uint64
	n, j := 0, 0
	for ; short[j] != 'e'; j++ {
		if short[j] != '.' {
			m = m*10 + uint64(short[j]-'0')
			n++
		}
	}
	for ; m%10 == 0; n-- {
		m /= 10
	}
	e, _ := strconv.Atoi(string(short[j+1:]))
	if m == mantissa && e-(n-1) == exponent {
		return decimal{f, true}
	}
	return decimal{}
}

// address is an IP address as patterns compare it: the 16 bytes of an IPv6 address, or 4 of an IPv4 one.
type address struct {
	hi, lo uint64 // an IPv4 address is the lower half of lo
	v4     bool
}

// masked returns the address with all but its first bits cleared.
func (a address) masked(bits int) address {
	if a.v4 {
		a.lo &= uint64(0xffffffff) << (32 - bits) & 0xffffffff
		return a
	}
	if bits <= 64 {
		a.hi &= ^uint64(0) << (64 - bits)
		a.lo = 0
		return a
	}
	a.lo &= ^uint64(0) << (128 - bits)
	return a
}

// parseAddress reads an address in its text form. It takes what Event Ruler takes: leading zeros are decimal, an IPv4 address
// written in hexadecimal groups as ::ffff:a00:1 is the IPv4 address, dots and colons don't mix, and there are no zones.
func parseAddress(s []byte) (address, bool) {
	if len(s) < 2 || len(s) > 64 || s[0] != ':' && hexDigit(s[0]) < 0 {
		return address{}, false
	}
	for _, c := range s {
		if c == '.' {
			return parseIPv4(s)
		}
		if c == ':' {
			return parseIPv6(s)
		}
		if hexDigit(c) < 0 {
			return address{}, false
		}
	}
	return address{}, false
}

func parseIPv4(s []byte) (address, bool) {
	if len(s) > 15 {
		return address{}, false
	}
	var ip, part uint64
	parts, digits := 1, 0
	for _, c := range s {
		switch {
		case c == '.':
			if digits == 0 || part > 255 || parts == 4 {
				return address{}, false
			}
			ip, part, digits = ip<<8|part, 0, 0
			parts++
		case c >= '0' && c <= '9':
			part = part*10 + uint64(c-'0')
			digits++
		default:
			return address{}, false
		}
	}
	if parts != 4 || digits == 0 || part > 255 {
		return address{}, false
	}
	return address{lo: ip<<8 | part, v4: true}, true
}

func parseIPv6(s []byte) (address, bool) {
	var groups [8]uint16
	n, gap := 0, -1 // groups so far; where "::" stands for zeros
	i := 0
	if s[0] == ':' {
		if s[1] != ':' {
			return address{}, false
		}
		i = 2
		gap = 0
	}
	for i < len(s) {
		if n == 8 {
			return address{}, false
		}
		group, digits := 0, 0
		for ; i < len(s) && s[i] != ':'; i++ {
			d := hexDigit(s[i])
			if d < 0 {
				return address{}, false
			}
			group = group<<4 | d
			if group > 0xffff {
				return address{}, false
			}
			digits++
		}
		if digits == 0 {
			return address{}, false
		}
		groups[n] = uint16(group)
		n++
		if i == len(s) {
			break
		}
		i++ // the colon
		if i == len(s) {
			return address{}, false // a lone colon at the end
		}
		if s[i] == ':' {
			if gap >= 0 {
				return address{}, false
			}
			gap = n
			i++
		}
	}
	if gap < 0 && n < 8 || gap >= 0 && n == 8 {
		return address{}, false
	}
	if gap >= 0 {
		tail := n - gap
		copy(groups[8-tail:], groups[gap:n])
		clear(groups[gap : 8-tail])
	}
	var a address
	for j, g := range groups {
		if j < 4 {
			a.hi = a.hi<<16 | uint64(g)
		} else {
			a.lo = a.lo<<16 | uint64(g)
		}
	}
	if a.hi == 0 && a.lo>>32 == 0xffff {
		return address{lo: a.lo & 0xffffffff, v4: true}, true
	}
	return a, true
}

// foldStep is one character of a text that is compared without regard to case: the value must go on with one of the two.
type foldStep struct{ lower, upper string }

// foldSteps prepares a text for comparison without regard to case, as Event Ruler does: each character of the text stands for its
// lower and its upper case in full (the upper case of ß is SS). A value that reaches the same letter by another way, as the Kelvin
// sign for k, isn't equal.
func foldSteps(text string) []foldStep {
	steps := make([]foldStep, 0, len(text))
	for i, r := range text {
		if r == utf8.RuneError {
			_, size := utf8.DecodeRuneInString(text[i:])
			steps = append(steps, foldStep{text[i : i+size], text[i : i+size]})
			continue
		}
		steps = append(steps, foldStep{string(appendLower(nil, r)), string(appendUpper(nil, r))})
	}
	return steps
}

// foldPrefix returns how many bytes of v the steps take up, or -1 where v doesn't begin with them.
func foldPrefix(v []byte, steps []foldStep) int {
	at := 0
	for i := range steps {
		switch s := &steps[i]; {
		case hasPrefix(v[at:], s.lower):
			at += len(s.lower)
		case hasPrefix(v[at:], s.upper):
			at += len(s.upper)
		default:
			return -1
		}
	}
	return at
}

// foldSuffix says whether v ends with the steps.
func foldSuffix(v []byte, steps []foldStep) bool {
	for i := len(steps) - 1; i >= 0; i-- {
		switch s := &steps[i]; {
		case hasSuffix(v, s.lower):
			v = v[:len(v)-len(s.lower)]
		case hasSuffix(v, s.upper):
			v = v[:len(v)-len(s.upper)]
		default:
			return false
		}
	}
	return true
}

func hasPrefix(v []byte, s string) bool { return len(v) >= len(s) && string(v[:len(s)]) == s }

func hasSuffix(v []byte, s string) bool { return len(v) >= len(s) && string(v[len(v)-len(s):]) == s }
