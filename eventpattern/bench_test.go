//go:build unix

package eventpattern

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"
)

// parcel is an event like those of a city's land register: a few strings deep in an object, and hundreds of bytes of coordinates that
// few patterns ask for. It is 851 bytes long.
func parcel(r *rand.Rand) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, `{ "type": "Feature", "properties": { "MAPBLKLOT": "%04d%03d", "BLKLOT": "%04d%03d", "BLOCK_NUM": "%04d", "LOT_NUM": "%03d", `,
		r.IntN(10000), r.IntN(1000), r.IntN(10000), r.IntN(1000), r.IntN(10000), r.IntN(1000))
	streets := []string{"JEFFERSON", "TAYLOR", "HYDE", "BEACH", "CRANLEIGH", "LAKE MERCED", "19TH", "SEVILLE"}
	fmt.Fprintf(&b, `"FROM_ST": "%d", "TO_ST": "%d", "STREET": "%s", "ST_TYPE": "%s", "ODD_EVEN": "%s" }, `,
		r.IntN(3000), r.IntN(3000), streets[r.IntN(len(streets))], []string{"ST", "AV", "DR", "BLVD"}[r.IntN(4)], []string{"E", "O"}[r.IntN(2)])
	b.WriteString(`"geometry": { "type": "Polygon", "coordinates": [ [ `)
	x, y := 0.0, 0.0
	for i := range 9 {
		if i > 0 {
			b.WriteString(", ")
		}
		x, y = -122-r.Float64()/2, 37+r.Float64()
		fmt.Fprintf(&b, "[ %.15v, %.16v, 0.0 ]", x, y)
	}
	fmt.Fprintf(&b, ` ] ], "first": { "x": %v, "y": %v, "z": 0 } }`, x, y)
	for b.Len() < 850 {
		b.WriteByte(' ')
	}
	b.WriteByte('}')
	return []byte(b.String())
}

// envelope is an event as buses carry them. It is 454 bytes long.
func envelope(r *rand.Rand) []byte {
	s := fmt.Sprintf(`{"version":"0","id":"%08x-7777-4444-8888-%012x","detail-type":"Kind %02d State-change Notification","source":"svc.app%03d","account":"%012d","time":"2026-11-%02dT%02d:%02d:%02dZ","region":"eu-west-%d","resources":["arn:aws:svc:eu-west-1:123456789012:thing/i-%08x"],"detail":{"instance-id":"i-%08x","state":"state-%04d","name":"host-%04d.example.com","code":%d,"ip":"10.%d.%d.%d","message":"`,
		r.Uint32(), r.Int64N(1<<48), r.IntN(20), r.IntN(50), r.Int64N(1e12), 1+r.IntN(30), r.IntN(24), r.IntN(60), r.IntN(60), 1+r.IntN(3),
		r.Uint32(), r.Uint32(), r.IntN(2000), r.IntN(5000), r.IntN(1000), r.IntN(256), r.IntN(256), r.IntN(256))
	const end = `"}}`
	return []byte(s + strings.Repeat("m", 454-len(s)-len(end)) + end)
}

// mixed returns n patterns of all kinds for envelopes, most of which some envelope matches.
func mixed(tb testing.TB, r *rand.Rand, n int) map[string]*Pattern {
	out := make(map[string]*Pattern, n)
	for i := range n {
		source := fmt.Sprintf(`"source":["svc.app%03d"]`, r.IntN(50))
		kind := fmt.Sprintf(`"detail-type":["Kind %02d State-change Notification"]`, r.IntN(20))
		var detail string
		switch i % 10 {
		case 0:
			detail = fmt.Sprintf(`"state":["state-%04d","state-%04d"]`, r.IntN(2000), r.IntN(2000))
		case 1:
			detail = fmt.Sprintf(`"name":[{"prefix":"host-%03d"}]`, r.IntN(500))
		case 2:
			detail = fmt.Sprintf(`"name":[{"suffix":"%d.example.com"}]`, r.IntN(1000))
		case 3:
			detail = fmt.Sprintf(`"name":[{"wildcard":"host-%d*.example.*"}]`, r.IntN(1000))
		case 4:
			detail = fmt.Sprintf(`"name":[{"equals-ignore-case":"HOST-%04d.Example.com"}]`, r.IntN(5000))
		case 5:
			lo := r.IntN(1000)
			detail = fmt.Sprintf(`"code":[{"numeric":[">=",%d,"<",%d]}]`, lo, lo+1+r.IntN(20))
		case 6:
			detail = fmt.Sprintf(`"state":[{"anything-but":["state-%04d","state-%04d"]}],"code":[%d]`, r.IntN(2000), r.IntN(2000), r.IntN(1000))
		case 7:
			detail = fmt.Sprintf(`"ip":[{"cidr":"10.%d.%d.0/24"}]`, r.IntN(256), r.IntN(256))
		case 8:
			detail = fmt.Sprintf(`"instance-id":[{"prefix":"i-%03x"}],"missing":[{"exists":false}]`, r.IntN(4096))
		case 9:
			detail = fmt.Sprintf(`"$or":[{"state":["state-%04d"]},{"code":[%d],"name":[{"exists":true}]}]`, r.IntN(2000), r.IntN(1000))
		}
		p, err := Parse("", []byte("{"+source+","+kind+`,"detail":{`+detail+"}}"))
		if err != nil {
			tb.Fatal(err)
		}
		out[fmt.Sprintf("rule-%05d", i)] = p
	}
	return out
}

// benchmark matches the events in turn and reports the rate.
func benchmark(b *testing.B, m *Matcher, events [][]byte) {
	var dst []string
	var err error
	i := 0
	b.SetBytes(int64(len(events[0])))
	b.ReportAllocs()
	before := cpuTime()
	for b.Loop() {
		if dst, err = m.Match(dst[:0], events[i]); err != nil {
			b.Fatal(err)
		}
		if i++; i == len(events) {
			i = 0
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(b.N)/(cpuTime()-before).Seconds(), "events/cpu-s")
}

// BenchmarkMatch is the table of figures: five patterns of one kind on events of 851 bytes, and mixed ones on envelopes of 454 bytes.
func BenchmarkMatch(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	parcels, envelopes := make([][]byte, 1000), make([][]byte, 1000)
	for i := range parcels {
		parcels[i], envelopes[i] = parcel(r), envelope(r)
	}
	property := func(key string, tests ...string) []string {
		for i, t := range tests {
			tests[i] = fmt.Sprintf(`{"properties":{%q:[%s]}}`, key, t)
		}
		return tests
	}
	for _, op := range []struct {
		name     string
		patterns []string
	}{
		{"exact", property("MAPBLKLOT", `"1430022"`, `"2607117"`, `"2607218"`, `"3745012"`, `"VACSTWIL"`)},
		{"prefix", property("STREET", `{"prefix":"AC"}`, `{"prefix":"BL"}`, `{"prefix":"DR"}`, `{"prefix":"FU"}`, `{"prefix":"RH"}`)},
		{"suffix", property("STREET", `{"suffix":"ON"}`, `{"suffix":"KE"}`, `{"suffix":"MM"}`, `{"suffix":"ING"}`, `{"suffix":"GO"}`)},
		{"wildcard", property("MAPBLKLOT", `{"wildcard":"143*"}`, `{"wildcard":"2*0*1*7"}`, `{"wildcard":"*218"}`, `{"wildcard":"3*5*2"}`, `{"wildcard":"VA*IL"}`)},
		{"ignore-case", property("STREET", `{"equals-ignore-case":"jefferson"}`, `{"equals-ignore-case":"bEaCh"}`, `{"equals-ignore-case":"HyDe"}`, `{"equals-ignore-case":"CHESTNUT"}`, `{"equals-ignore-case":"crAnleigh"}`)},
		{"anything-but", property("STREET", `{"anything-but":["FULTON"]}`, `{"anything-but":["MASON"]}`, `{"anything-but":["TAYLOR"]}`, `{"anything-but":["FRANCISCO","BEACH"]}`, `{"anything-but":["JEFFERSON"]}`)},
		{"numeric", []string{
			`{"geometry":{"type":["Polygon"],"first":{"x":[{"numeric":["=",-122.42916360922355]}]}}}`,
			`{"geometry":{"type":["Polygon"],"first":{"x":[{"numeric":["=",-122.4]}]}}}`,
			`{"geometry":{"type":["Polygon"],"first":{"z":[{"numeric":["=",0]}]}}}`,
			`{"geometry":{"type":["Polygon"],"first":{"x":[{"numeric":["<",-122.41600944012424]}]}}}`,
			`{"geometry":{"type":["Polygon"],"first":{"x":[{"numeric":[">",-122.46471267081272,"<",-122.4063085128395]}]}}}`,
		}},
	} {
		b.Run("rules=5/op="+op.name, func(b *testing.B) {
			var m Matcher
			for _, text := range op.patterns {
				p, err := Parse("", []byte(text))
				if err != nil {
					b.Fatal(err)
				}
				if err := m.Add(text, p); err != nil {
					b.Fatal(err)
				}
			}
			benchmark(b, &m, parcels)
		})
	}
	for _, n := range []int{1, 100, 1000, 10_000} {
		b.Run(fmt.Sprintf("rules=%d/mixed", n), func(b *testing.B) {
			var m Matcher
			if err := m.AddAll(maps.All(mixed(b, r, n))); err != nil {
				b.Fatal(err)
			}
			benchmark(b, &m, envelopes)
		})
	}
}

// BenchmarkLoad parses 10,000 patterns and puts them in, all at once and one by one.
func BenchmarkLoad(b *testing.B) {
	const n = 10_000
	texts := make(map[string][]byte, n)
	for name, p := range mixed(b, rand.New(rand.NewPCG(1, 1)), n) {
		texts[name] = p.text
	}
	load := func(b *testing.B, add func(m *Matcher, patterns map[string]*Pattern) error) {
		b.ReportAllocs()
		for b.Loop() {
			patterns := make(map[string]*Pattern, n)
			for name, text := range texts {
				p, err := Parse(name, text)
				if err != nil {
					b.Fatal(err)
				}
				patterns[name] = p
			}
			if err := add(new(Matcher), patterns); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "rules/s")
	}
	b.Run("rules=10000", func(b *testing.B) {
		load(b, func(m *Matcher, patterns map[string]*Pattern) error { return m.AddAll(maps.All(patterns)) })
	})
	b.Run("rules=10000/one-by-one", func(b *testing.B) {
		load(b, func(m *Matcher, patterns map[string]*Pattern) error {
			for name, p := range patterns {
				if err := m.Add(name, p); err != nil {
					return err
				}
			}
			return nil
		})
	})
}
