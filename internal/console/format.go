package console

import (
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"homeostat/internal/signal"
)

// when draws a moment: UTC as text, which the script replaces by the reader's own time.
func when(t time.Time) template.HTML {
	if t.IsZero() {
		return `<span class="none">–</span>`
	}
	t = t.UTC()
	return template.HTML(`<time datetime="` + t.Format("2006-01-02T15:04:05.000Z") + `">` + t.Format("2006-01-02 15:04:05") + ` UTC</time>`) //nolint:gosec // digits
}

// ago draws a moment as an age, kept up to date by the script; the text is the moment itself, for readers without it.
func ago(t time.Time) template.HTML {
	if t.IsZero() {
		return `<span class="none">–</span>`
	}
	t = t.UTC()
	return template.HTML(`<time class="ago" datetime="` + t.Format("2006-01-02T15:04:05.000Z") + `">` + t.Format("2006-01-02 15:04") + ` UTC</time>`) //nolint:gosec // digits
}

// short cuts an id, or a version that is a hash, to what tells it from its neighbours.
func short(id string) string {
	kind, rest, ok := strings.Cut(id, "-")
	if !ok && len(id) == 64 {
		return id[:12]
	}
	if !ok || len(kind) != 2 || kind == signal.KindBatch || len(rest) <= 8 {
		return id
	}
	return kind + "-" + rest[:8]
}

// pretty writes JSON over lines, for reading.
func pretty(v any) string {
	if raw, ok := v.(json.RawMessage); ok && len(raw) == 0 {
		return ""
	}
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(text)
}

// unit says how a feature's values are written.
type unit int

const (
	plain unit = iota
	ratio      // 0 to 1, written as per cent
	rate       // bytes a second
	size       // bytes
	seconds
)

func (u unit) String() string { return [...]string{"plain", "ratio", "rate", "size", "seconds"}[u] }

// format writes a value in at most six characters and its unit.
func (u unit) format(v float64) string {
	switch {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return "–"
	case u == ratio && v < 0.0995:
		return strconv.FormatFloat(v*100, 'f', 1, 64) + " %"
	case u == ratio:
		return strconv.FormatFloat(v*100, 'f', 0, 64) + " %"
	case u == rate:
		return bytesText(v) + "/s"
	case u == size:
		return bytesText(v)
	case u == seconds && math.Abs(v) < 0.9995:
		return strconv.FormatFloat(v*1000, 'g', 3, 64) + " ms"
	case u == seconds:
		return strconv.FormatFloat(v, 'g', 3, 64) + " s"
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}

// bytesText writes bytes with decimal prefixes, as disks and networks are sold.
func bytesText(v float64) string {
	a := math.Abs(v)
	for _, p := range []struct {
		at   float64
		name string
	}{{1e12, "TB"}, {1e9, "GB"}, {1e6, "MB"}, {1e3, "kB"}} {
		if a >= p.at*0.9995 {
			x := v / p.at
			digits := 1
			if math.Abs(x) >= 99.95 {
				digits = 0
			}
			return strconv.FormatFloat(x, 'f', digits, 64) + " " + p.name
		}
	}
	return strconv.FormatFloat(v, 'f', 0, 64) + " B"
}

// length writes how long something took or has lasted, coarser the longer.
func length(d time.Duration) string {
	d = max(d, 0)
	switch {
	case d < time.Second:
		return strconv.FormatInt(d.Milliseconds(), 10) + " ms"
	case d < 10*time.Second:
		return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + " s"
	case d < 2*time.Minute:
		return strconv.Itoa(int(d.Seconds())) + " s"
	case d < 2*time.Hour:
		return strconv.Itoa(int(d.Minutes())) + " min"
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	}
	return strconv.Itoa(int(d.Hours()/24)) + " days"
}

// count writes a number with its noun: "1 host", "3 hosts".
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	if strings.HasSuffix(noun, "y") {
		noun = noun[:len(noun)-1] + "ie"
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

// percent writes a share in words a person reads at a glance.
func percent(v float64) string { return strconv.Itoa(int(math.Round(v*100))) + " %" }

// grade writes the grade of an anomaly, which is above 0 however little that is.
func grade(v float64) string {
	if v < 0.01 {
		return "under 0.01"
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

// seg writes a text as one segment of a path.
func seg(s string) string { return url.PathEscape(s) }

// sortedKeys returns a map's keys in order.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
