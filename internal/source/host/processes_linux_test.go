package host

import (
	"strings"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	line := "4242 (a) b (c)) S 1 4242 4242 0 -1 4194304 100 0 0 0 350 50 0 0 20 0 1 0 308153 3133440 392 18446744073709551615"
	u, ok := parseStat([]byte(line), 4096)
	if !ok || u.used != 4*time.Second || u.began != 308153 || u.rss != 392*4096 {
		t.Errorf("%+v %v", u, ok)
	}
	for _, bad := range []string{"", "1 (x)", "1 (x) S 1 2 3", "no brackets at all", strings.Replace(line, "308153", "x", 1)} {
		if u, ok := parseStat([]byte(bad), 4096); ok {
			t.Errorf("%q: %+v", bad, u)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("1 (x) S 1 2 3 0 -1 4 1 0 0 0 350 50 0 0 20 0 1 0 308153 3133440 392 1"))
	f.Fuzz(func(_ *testing.T, b []byte) { parseStat(b, 4096) })
}
