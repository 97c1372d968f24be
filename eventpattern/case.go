package eventpattern

import (
	"unicode"
	"unicode/utf8"
)

// appendLower appends the lower case of one character, which for İ is two.
func appendLower(dst []byte, r rune) []byte {
	if r == 'İ' {
		return append(dst, "i\u0307"...)
	}
	return utf8.AppendRune(dst, unicode.ToLower(r))
}

// appendUpper appends the upper case of one character in full.
func appendUpper(dst []byte, r rune) []byte {
	if s := longUpper(r); s != "" {
		return append(dst, s...)
	}
	return utf8.AppendRune(dst, unicode.ToUpper(r))
}

// longUpper is the upper case of a character for which that is more than one, or empty.
//
// Source: the unconditional mappings of Unicode's SpecialCasing.txt.
func longUpper(r rune) string {
	switch r {
	case 'ß':
		return "SS"
	case 'ŉ':
		return "\u02bcN"
	case 'ǰ':
		return "J\u030c"
	case 'ΐ', '\u1fd3':
		return "\u0399\u0308\u0301"
	case 'ΰ', '\u1fe3':
		return "\u03a5\u0308\u0301"
	case 'և':
		return "\u0535\u0552"
	case 'ẖ':
		return "H\u0331"
	case 'ẗ':
		return "T\u0308"
	case 'ẘ':
		return "W\u030a"
	case 'ẙ':
		return "Y\u030a"
	case 'ẚ':
		return "A\u02be"
	case '\u1f50':
		return "\u03a5\u0313"
	case '\u1f52':
		return "\u03a5\u0313\u0300"
	case '\u1f54':
		return "\u03a5\u0313\u0301"
	case '\u1f56':
		return "\u03a5\u0313\u0342"
	case '\u1f80', '\u1f88':
		return "\u1f08\u0399"
	case '\u1f81', '\u1f89':
		return "\u1f09\u0399"
	case '\u1f82', '\u1f8a':
		return "\u1f0a\u0399"
	case '\u1f83', '\u1f8b':
		return "\u1f0b\u0399"
	case '\u1f84', '\u1f8c':
		return "\u1f0c\u0399"
	case '\u1f85', '\u1f8d':
		return "\u1f0d\u0399"
	case '\u1f86', '\u1f8e':
		return "\u1f0e\u0399"
	case '\u1f87', '\u1f8f':
		return "\u1f0f\u0399"
	case '\u1f90', '\u1f98':
		return "\u1f28\u0399"
	case '\u1f91', '\u1f99':
		return "\u1f29\u0399"
	case '\u1f92', '\u1f9a':
		return "\u1f2a\u0399"
	case '\u1f93', '\u1f9b':
		return "\u1f2b\u0399"
	case '\u1f94', '\u1f9c':
		return "\u1f2c\u0399"
	case '\u1f95', '\u1f9d':
		return "\u1f2d\u0399"
	case '\u1f96', '\u1f9e':
		return "\u1f2e\u0399"
	case '\u1f97', '\u1f9f':
		return "\u1f2f\u0399"
	case '\u1fa0', '\u1fa8':
		return "\u1f68\u0399"
	case '\u1fa1', '\u1fa9':
		return "\u1f69\u0399"
	case '\u1fa2', '\u1faa':
		return "\u1f6a\u0399"
	case '\u1fa3', '\u1fab':
		return "\u1f6b\u0399"
	case '\u1fa4', '\u1fac':
		return "\u1f6c\u0399"
	case '\u1fa5', '\u1fad':
		return "\u1f6d\u0399"
	case '\u1fa6', '\u1fae':
		return "\u1f6e\u0399"
	case '\u1fa7', '\u1faf':
		return "\u1f6f\u0399"
	case '\u1fb2':
		return "\u1fba\u0399"
	case '\u1fb3', '\u1fbc':
		return "\u0391\u0399"
	case '\u1fb4':
		return "\u0386\u0399"
	case '\u1fb6':
		return "\u0391\u0342"
	case '\u1fb7':
		return "\u0391\u0342\u0399"
	case '\u1fc2':
		return "\u1fca\u0399"
	case '\u1fc3', '\u1fcc':
		return "\u0397\u0399"
	case '\u1fc4':
		return "\u0389\u0399"
	case '\u1fc6':
		return "\u0397\u0342"
	case '\u1fc7':
		return "\u0397\u0342\u0399"
	case '\u1fd2':
		return "\u0399\u0308\u0300"
	case '\u1fd6':
		return "\u0399\u0342"
	case '\u1fd7':
		return "\u0399\u0308\u0342"
	case '\u1fe2':
		return "\u03a5\u0308\u0300"
	case '\u1fe4':
		return "\u03a1\u0313"
	case '\u1fe6':
		return "\u03a5\u0342"
	case '\u1fe7':
		return "\u03a5\u0308\u0342"
	case '\u1ff2':
		return "\u1ffa\u0399"
	case '\u1ff3', '\u1ffc':
		return "\u03a9\u0399"
	case '\u1ff4':
		return "\u038f\u0399"
	case '\u1ff6':
		return "\u03a9\u0342"
	case '\u1ff7':
		return "\u03a9\u0342\u0399"
	case 'ﬀ':
		return "FF"
	case 'ﬁ':
		return "FI"
	case 'ﬂ':
		return "FL"
	case 'ﬃ':
		return "FFI"
	case 'ﬄ':
		return "FFL"
	case 'ﬅ', 'ﬆ':
		return "ST"
	case 'ﬓ':
		return "\u0544\u0546"
	case 'ﬔ':
		return "\u0544\u0535"
	case 'ﬕ':
		return "\u0544\u053b"
	case 'ﬖ':
		return "\u054e\u0546"
	case 'ﬗ':
		return "\u0544\u053d"
	}
	return ""
}
